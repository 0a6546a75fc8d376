# a comment

FROM alpine
   # indented comment
RUN echo one \
# inside a continuation

   two # not a comment
	
CMD x
