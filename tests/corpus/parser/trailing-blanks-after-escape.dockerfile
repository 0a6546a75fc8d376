FROM alpine
RUN one \  
  two
RUN three\ four
