FROM alpine
RUN <<EOF
set -e
echo $HOME
EOF
RUN <<'SCRIPT'
#!/usr/bin/env python3
print("hi")
SCRIPT
RUN python3 - <<-EOF > out
	print("tabs")
	EOF
RUN cat <<A >a && cat 3<<"B" <&3
a
A
b
B
COPY <<one <<-"two" file /etc/
$expanded
one
	# not a comment
	$literal \
	two
ADD <<EOF /x
EOF
RUN ["cat", "<<EOF"]
RUN echo $((1<<3)) "<<EOF" '<<'EOF
ONBUILD COPY <<EOF /trigger
body
EOF
CMD cat <<EOF
