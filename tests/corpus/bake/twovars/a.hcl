variable "V" {
  default = "a"
  description = "from a"
}
W = "aw"
target "default" {
  args = { V = V, W = W }
}
