variable "TAG" {
  default = "latest"
  description = "the tag"
}
variable "N" {
  type = number
}
variable "L" {
  type = list(string)
  default = ["a", "b"]
}
variable "O" {
  default = { a = 1 }
}
variable "B" {
  default = true
}
variable "NULL" {
  default = null
}
variable "NOTHING" {
}
group "all" {
  targets = ["web", "db"]
}
group "default" {
  targets = ["web"]
  description = "the usual"
}
target "web" {
  description = "the site"
}
target "db" {
}
target "m" {
  name = "m-${v}"
  matrix = { v = ["1"] }
  description = "matrix ${v}"
}
