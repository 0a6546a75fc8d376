function "tag" {
  params = [name, version]
  result = ["${name}:${version}", notequal("", version) ? "${name}:latest" : ""]
}
function "all" {
  params = [first]
  variadic_params = rest
  result = join("-", concat([first], rest))
}
function "uses" {
  params = []
  result = all("a", PREFIX)
}
variable "PREFIX" { 
  default = "p" 
}
target "default" {
  tags = tag("app", "1")
  args = { a = all("x"), b = all("x", "y", "z"), c = uses() }
}
