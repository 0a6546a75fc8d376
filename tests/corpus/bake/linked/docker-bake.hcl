target "base" {
  dockerfile = "base.Dockerfile"
  tags = ["base"]
}
target "default" {
  contexts = {
    base = "target:base"
    alpine = "docker-image://alpine:3.13"
    src = "./src"
  }
}
