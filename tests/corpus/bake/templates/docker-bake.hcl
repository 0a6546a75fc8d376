variable "X" {
  default = "x"
}
list = ["a", "b"]
target "default" {
  dockerfile-inline = <<EOT
FROM ${X}
RUN echo $${HOME} %%{ \n
%{ for i in list ~}
RUN echo ${i}
%{ endfor ~}
%{ if X == "x" }RUN yes%{ else }RUN no%{ endif }
EOT
  args = {
    a = "tab\t\"q\" \u00e9 \\"
    b = "${~ X ~}"
    c = " a ${~ X ~} b "
    d = "%{ if X == "y" }y%{ endif }z"
    e = <<-E
      one
        two

      three ${X}
      E
    f = "<&>"
    "key ${X}" = "k"
    (X) = "paren"
    g : "colon",
    h = "${list[1]}"
    i = "${1}"
    for = "key"
    null = "n"
    if = "i", true = "t"
  }
}
