target "default" {
  args = {
    A = "x${
      1 +
      1
    }y"
    B = [
      "a",
      "b",
    ][1]
    C = {
      k = "v"
    }.k
    D = join(",", [
      "a", # one
      "b", // two
    ])
    E = (true
      ? "y"
      : "n")
  }
}
