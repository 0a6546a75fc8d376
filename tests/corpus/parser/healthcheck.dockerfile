FROM alpine
HEALTHCHECK --interval=5s --timeout=3s CMD curl -f http://localhost/
HEALTHCHECK CMD ["a", "b"]
HEALTHCHECK NONE
