target "default" {
  context = "."
  tags = ["a:1", "a:1", "b"]
}
