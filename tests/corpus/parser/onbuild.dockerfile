FROM alpine
ONBUILD RUN a && b
ONBUILD COPY --from=x ["a", "b"]
onbuild env A=b
