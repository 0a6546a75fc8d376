target "web" {
  tags = ["hcl"]
}
