target "app" {
  name = "a.b"
  matrix = { v = ["1"] }
}
