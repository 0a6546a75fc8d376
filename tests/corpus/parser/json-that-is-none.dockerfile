FROM alpine
RUN ['a', 'b']
CMD ["a", b]
CMD ["a"] more
RUN ["a",
RUN {"a": 1}
