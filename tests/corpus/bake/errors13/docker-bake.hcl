target "default" {
  output = ["type"]
  cache-to = ["mode=max"]
}
