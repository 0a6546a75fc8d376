variable "TAG" {
  default = "latest"
}
variable "DEBUG" {
  default = false
}
variable "COUNT" {
  default = 3
}
variable "EMPTY" {
}
variable "NULL" {
  default = null
}
REPO = "docker.io/me"
target "default" {
  tags = ["${REPO}/app:${TAG}", DEBUG ? "debug" : "release"]
  args = {
    n = COUNT
    m = COUNT + 1
    d = DEBUG
    e = EMPTY
    f = NULL
    g = "x${EMPTY}y"
  }
}
