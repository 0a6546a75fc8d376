target "default" {
  labels = {
    "ünïcode" = "日本   é",
    zz = "tab\t"
  }
  description = "d<é>"
}
