target "p" {
  args = { A = "1", B = "2" }
  tags = ["p"]
  context = "ctx"
}
target "default" {
  inherits = ["p"]
  args = { A = null, B = "" }
  tags = []
  context = null
  labels = {}
  target = ""
  dockerfile = ""
}
