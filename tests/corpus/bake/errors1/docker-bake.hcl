target "default" {
  bogus = "x"
}
