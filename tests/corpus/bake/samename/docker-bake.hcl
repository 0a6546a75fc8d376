group "app" {
 targets = ["app", "b"]
}
target "app" {
 tags = ["x"]
}
target "b" {
}
