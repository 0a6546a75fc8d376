FROM alpine
RUN a \
    b \

    c
ENV K=v \
  L=w
LABEL a=b\
 c=d
