target "a" {
  context = "./x/"
}
target "b" {
  context = "https://github.com/docker/buildx.git#v1"
}
target "c" {
  context = "cwd://sub"
  dockerfile = "cwd://D"
}
target "d" {
  context = "/abs//x"
}
target "e" {
  context = ""
}
target "f" {
  context = "git@github.com:docker/buildx.git"
}
target "g" {
  context = "-"
}
target "h" {
  dockerfile = "./sub/D"
  contexts = { a = "./q/", b = "cwd://z" }
}
