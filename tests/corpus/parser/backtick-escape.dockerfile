# escape=`
FROM alpine
RUN dir C:\ `
  && echo done
COPY a C:\dir\
