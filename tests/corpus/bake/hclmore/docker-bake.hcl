variable "LIST" {
  default = ["a", "b"]
}
variable "MAP" {
  default = { x = "1" }
}
target "default" {
  args = { for k, v in MAP : k => "${v}!" }
  tags = [
    for i in LIST :
      "t:${i}"
      if i != "a"
  ]
  labels = merge(
    { a = "1" },
    {
      b = "2"
      c = "3",
    },
  )
  platforms = LIST[0] == "a" ? ["linux/amd64"] : null
  contexts = null
  cache-to = [for c in ["x"] : { type = "local", dest = c }]
}
