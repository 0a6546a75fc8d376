target "default" {
  tags = ["b"]
  args = { A = "3" }
}
group "default" {
  targets = ["default", "x"]
}
