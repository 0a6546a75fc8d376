target "default" {
  tags = ["a"]
  args = { A = "1", B = "2" }
}
target "x" {
}
