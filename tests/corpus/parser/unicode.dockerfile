FROM alpine
ENV naïve=ü
RUN echo 世界
LABEL é="è à"
