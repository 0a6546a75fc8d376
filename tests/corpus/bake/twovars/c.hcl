W = "cw"
