function "f" {
  params = [a]
  result = f(a)
}
target "default" {
}
