variable "G" {
 default = ["a"]
}
group "default" {
 targets = concat(G, ["b"])
}
target "a" {
}
target "b" {
}
