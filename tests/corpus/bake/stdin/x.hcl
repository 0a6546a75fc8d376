target "default" {
 tags = ["s"]
}
