from alpine as Base
rUn echo A
Copy --FROM=base a b
