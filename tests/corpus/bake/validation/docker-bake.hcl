variable "V" {
  default = "abc"
  validation {
    condition = V != ""
    error_message = "V must not be empty"
  }
  validation {
    condition = strlen(V) < 5
    error_message = "V is too long: ${V}"
  }
}
target "default" {
  args = { V = V }
}
