variable "TAG" {
  default = "latest"
}
variable "VERBOSE" {
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
  tags = ["${REPO}/app:${TAG}", VERBOSE ? "debug" : "release"]
  args = {
    n = COUNT
    m = COUNT + 1
    d = VERBOSE
    e = EMPTY
    f = NULL
    g = "x${EMPTY}y"
  }
}
