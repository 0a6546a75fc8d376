variable "S" { 
  type = string 
  default = 5
}
variable "N" { 
  type = number 
  default = 2
}
variable "L" { 
  type = list(string) 
  default = ["a"]
}
variable "M" { 
  type = map(number) 
  default = { a = 1 }
}
variable "O" {
  type = object({ a = string, b = optional(number) })
  default = { a = "x" }
}
variable "B" {
  type = bool
  default = "true"
}
variable "ST" {
  type = set(string)
  default = ["b", "a", "b"]
}
target "default" {
  args = {
    s = S
    l = jsonencode(L)
    m = jsonencode(M)
    o = jsonencode(O)
    b = B ? "y" : "n"
    st = jsonencode(ST)
    n = N
  }
}
