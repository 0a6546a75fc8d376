# ESCAPE = `

FROM windows
  	run dir C:\ `
  # comment
    /s
COPY a\ C:\\b\
ENV p="a`"b" q=`$x
RUN <<EOF
line
EOF
