FROM alpine
RUN --mount=type=bind \
  --network=host \
  id
COPY \
 --from=b \
 x y
