FROM alpine
RUN ["sh", "-c", "echo \"x\" \\ y"]
CMD ["a","b"]
ENTRYPOINT [ ]
SHELL ["bash", "-lc"]
VOLUME ["/a b", "/c"]
COPY ["a b", "c"]
