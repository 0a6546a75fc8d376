target "default" { tags = ["a"] }
target "b" {}
target "c" { tags = ["x"]
}
