FROM alpine
RUN a \
  b
ENV x=y
