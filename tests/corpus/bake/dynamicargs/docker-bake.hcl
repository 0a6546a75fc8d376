target "default" {
  args = {
    A = "a"
    A = "b"
  }
}
