target "default" {
  cache-from = ["a", "b", "a", "c", "b"]
  output = ["x", "y", "x"]
  attest = ["type=sbom", "type=provenance", "type=sbom,generator=g"]
  ssh = ["b", "a", "b"]
  tags = ["", "a", ""]
  platforms = ["", "linux/arm"]
  ulimits = ["nofile=1", "nofile=1"]
}
