FROM alpine
RUN cat << EOF
RUN echo '<<EOF'
RUN echo \<<EOF
RUN echo $((1<<2))
ENV a=<<b
