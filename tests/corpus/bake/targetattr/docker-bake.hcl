target "a" {
  output = ["type=local,dest=o"]
  cache-from = ["x"]
  secret = ["id=s,env=E"]
  pull = true
  platforms = ["linux/amd64"]
}
target "default" {
  output = target.a.output
  cache-from = target.a.cache-from
  secret = target.a.secret
  pull = target.a.pull
  platforms = concat(target.a.platforms, ["linux/arm64"])
  args = { n = target.a.name, t = target.a.output[0].type }
  labels = { m = try(target.a.target, "none"), q = try(target.nope.tags, "no") }
}
target "m" {
  name = "m-${i}"
  matrix = { i = ["x", "y"] }
  tags = [i]
}
target "u" {
  tags = target.m-x.tags
}
