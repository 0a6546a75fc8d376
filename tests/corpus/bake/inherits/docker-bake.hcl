target "_common" {
  args = { A = "1", B = "2" }
  labels = { one = "x" }
  tags = ["common"]
  platforms = ["linux/amd64"]
  annotations = ["a=b"]
  cache-from = ["type=gha", "user/app:cache"]
  secret = ["id=a,src=a"]
  ulimits = ["nofile=1:2"]
  no-cache-filter = ["s1"]
}
target "_more" {
  args = { B = "3", C = null }
  output = ["type=docker"]
  extra-hosts = { h = "1.2.3.4" }
}
target "app" {
  inherits = ["_common", "_more"]
  args = { D = "4" }
  annotations = ["c=d", "a=b"]
  cache-from = ["type=gha", "type=local,src=x"]
  secret = [{ id = "b", env = "B" }, "id=a,src=a"]
  ulimits = ["nproc=3"]
  no-cache-filter = ["s2"]
}
target "leaf" {
  inherits = ["app"]
  tags = ["leaf"]
  cache-to = ["type=inline"]
}
