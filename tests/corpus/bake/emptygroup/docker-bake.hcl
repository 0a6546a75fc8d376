group "default" {
 targets = []
}
target "a" {
}
