target "default" {
 tags = ["e"]
}
