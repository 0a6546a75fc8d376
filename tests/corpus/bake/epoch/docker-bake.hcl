target "default" {
 args = { A = "1" }
}
target "o" {
 args = { SOURCE_DATE_EPOCH = "5" }
}
