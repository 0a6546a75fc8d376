group "default" {
  targets = ["web", "all"]
}
group "all" {
  description = "all of them"
  targets = ["web", "db"]
}
target "web" { 
  dockerfile = "Dockerfile.web"
}
target "db" {
  context = "./db/"
  description = "the database"
}
