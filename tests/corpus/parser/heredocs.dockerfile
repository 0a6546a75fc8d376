FROM alpine
RUN <<EOF
echo one
# kept
EOF
RUN <<-'A' cat <<B > /x
	indented $no
	A
plain $yes
B
COPY <<a.txt <<b.txt /d/
A
a.txt
B
b.txt
