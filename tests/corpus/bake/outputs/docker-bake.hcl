target "none" {
}
target "docker" {
  output = ["type=docker"]
}
target "image" {
  output = ["type=image,name=x"]
}
target "registry" {
  output = ["type=registry"]
}
target "tar" {
  output = ["type=tar,dest=o.tar"]
}
target "oci" {
  output = ["type=oci,dest=o.tar"]
}
target "dockertar" {
  output = ["type=docker,dest=o.tar"]
}
target "cacheonly" {
  output = ["type=cacheonly"]
}
