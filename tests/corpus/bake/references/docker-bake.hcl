target "base" {
  args = { V = "1", W = "w" }
  tags = ["base:1"]
  dockerfile = "D"
}
target "default" {
  args = {
    V = target.base.args.V
    T = target.base.tags[0]
    D = target.base.dockerfile
    S = target.default.dockerfile
    N = target.base.context == null ? "none" : "some"
  }
  dockerfile = target.base.dockerfile
}
