group "default" {
}
