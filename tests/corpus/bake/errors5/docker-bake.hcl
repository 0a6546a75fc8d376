target "default" {
  args = { A = nope() }
}
