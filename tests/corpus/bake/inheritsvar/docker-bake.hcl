variable "P" {
 default = "one"
}
target "one" {
 tags = ["1"]
}
target "two" {
 tags = ["2"]
}
target "default" {
 inherits = [P]
}
