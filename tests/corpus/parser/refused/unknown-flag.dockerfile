FROM alpine
COPY --nonsense=1 a b
