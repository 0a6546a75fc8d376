target "default" {
  args = { A = target.default.args.A }
}
