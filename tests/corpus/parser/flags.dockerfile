FROM --platform=$BUILDPLATFORM alpine
RUN --mount=type=cache,target=/c --network=none make --jobs=2
COPY --from=a --chown=1:2 --chmod=u+x --link x y
ADD --checksum=sha256:ab --keep-git-dir=true u v
RUN --
RUN -- --x
