target "a" {
  contexts = { a = "target:b" }
}
target "b" {
  contexts = { a = "target:a" }
}
