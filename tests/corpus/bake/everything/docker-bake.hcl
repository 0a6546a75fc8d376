target "default" {
  description = "all"
  annotations = ["index,manifest:org.opencontainers.image.title=x"]
  attest = ["type=provenance,mode=max", { type = "sbom", generator = "g" }]
  context = "./a/../b"
  contexts = { x = "y" }
  dockerfile = "sub/Dockerfile"
  args = { A = "1" }
  labels = { "com.x.y" = "z", e = "" }
  tags = ["t"]
  cache-from = ["user/app:cache", { type = "gha", scope = "s" }]
  cache-to = ["type=inline", "type=registry,ref=r,mode=max"]
  target = "stage"
  secret = ["type=env,id=TOK,src=X", "id=k,source=k", { id = "o" }]
  ssh = ["default", { id = "z" }]
  platforms = ["linux/amd64", "linux/arm64"]
  output = ["type=docker", { type = "tar", dest = "x.tar" }, "type=image,name=q,push=true", "dir"]
  pull = true
  no-cache = false
  network = "host"
  no-cache-filter = ["a"]
  shm-size = "64m"
  ulimits = ["nofile=1024:1024"]
  call = "check"
  entitlements = ["security.insecure"]
  extra-hosts = { h = "1.1.1.1" }
}
