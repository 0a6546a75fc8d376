target "app" {
  name = "app-${tgt}"
  matrix = {
    tgt = ["lint", "test"]
  }
  target = tgt
  tags = ["app:${tgt}"]
}
group "default" {
  targets = ["app"]
}
