target "default" { tags = ["a"] }
target "b" {}
# c
// d
/* e
 */
group all {
 targets = ["b", "default"]
}
