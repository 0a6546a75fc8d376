# syntax=docker/dockerfile:1
# check=skip=JSONArgsRecommended
ARG BASE=debian TAG
FROM --platform=$BUILDPLATFORM $BASE:${TAG:-12} AS Build
MAINTAINER A. Person <a@example.org>
ARG VERSION="1 2" OTHER
ENV A=1 B="two words" C=a\ b
ENV OLD the rest of  the line
LABEL org.example.name="x y" k=v
WORKDIR /srv/my app
USER app:${GROUP}
EXPOSE 80 443/tcp 7000-7010/udp $PORTS
VOLUME /data /log
VOLUME ["/with space"]
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN echo $A \
    # in between

    && echo "B"
RUN ["printf", "%s", "$A"]
RUN --mount=type=cache,target=/root/.cache,sharing=locked --mount=type=secret,id=key,required \
    --mount=source=src,dst=/src,from=other,rw --network=none --security=insecure --device=a/b=c make
COPY --from=0 --chown=1:2 --chmod=u=rwX --link --parents --exclude=*.o --exclude=x a b /c/
COPY ["a b", "c d/"]
ADD --checksum=sha256:00 --keep-git-dir=true --unpack=false https://example.org/x.tar /x
add local.tar /
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=500ms --retries=3 CMD curl localhost
HEALTHCHECK CMD ["true"]
HEALTHCHECK none
ONBUILD RUN --network=none make
onbuild COPY . /app
ENTRYPOINT ["/app"]
ENTRYPOINT exec app
CMD []
CMD
FROM scratch
