foo "bar" {
}
target "default" {
}
