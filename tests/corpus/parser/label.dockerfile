FROM alpine
LABEL a=1 "b c"='d e' f="g\
h"
LABEL old form here
