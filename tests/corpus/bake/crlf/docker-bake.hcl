target "default" {
  tags = ["a"]
  dockerfile-inline = <<E
FROM x
E
}
