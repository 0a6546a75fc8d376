m = { b = 2, a = 1 }
objs = [{ n = "x", t = ["1"] }, { n = "y", t = ["2", "3"] }]
target "default" {
  args = {
    a = jsonencode([for k, v in m : "${k}=${v}"])
    b = jsonencode({ for k, v in m : upper(k) => v * 2 if v > 1 })
    c = jsonencode({ for o in objs : substr(o.n, 0, 1) => o.n... })
    d = jsonencode(objs[*].n)
    e = jsonencode(objs.*.t)
    f = objs[1].t[0]
    g = objs.0.n
    h = jsonencode([for i, v in ["p", "q"] : "${i}${v}"])
    i = m["a"]
    j = jsonencode(objs[*].t[0])
    k = jsonencode(flatten(objs[*].t))
    m = jsonencode(null[*])
    n = jsonencode("x"[*])
  }
  tags = [for o in objs : o.n]
}
