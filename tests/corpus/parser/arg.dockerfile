ARG version=1 other
FROM alpine:$version
ARG a="b c" d
ARG e
