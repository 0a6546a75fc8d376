FROM alpine
ENV a="x y"z b='it''s' c=\"q\" d="a\"b" e=${f:-g h}
