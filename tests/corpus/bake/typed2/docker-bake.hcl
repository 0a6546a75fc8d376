variable "D" {
  type = tuple([string, number])
}
variable "A" {
  type = any
  default = 5
}
variable "LL" {
  type = list(list(string))
  default = [["a"]]
}
variable "NL" {
  type = list(number)
}
variable "MB" {
  type = map(bool)
}
target "default" {
  args = {
    d = jsonencode(D)
    a = A
    ll = jsonencode(LL)
    nl = jsonencode(NL)
    mb = jsonencode(MB)
  }
}
