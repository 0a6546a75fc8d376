group "g" {
 targets = ["h", "a"]
}
group "h" {
 targets = ["b", "g", "h"]
}
target "a" {
}
target "b" {
}
