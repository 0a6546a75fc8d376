target "app" {
  name = "app-${item.name}-${replace(v, ".", "-")}"
  matrix = {
    item = [{ name = "a", file = "x" }, { name = "b", file = "y" }]
    v = ["1.0", "2.0"]
  }
  dockerfile = item.file
  args = { V = v }
}
target "other" {
  inherits = ["app-a-1-0"]
  tags = ["o"]
}
