target "default" {
  secret = ["foo=bar"]
}
