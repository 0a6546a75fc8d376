x = y
y = upper("a")
z = [x]
target "default" {
 args = { x = x, z = z[0] }
}
