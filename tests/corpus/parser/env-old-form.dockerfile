FROM alpine
ENV name  a value with   blanks  
ENV one\ two three
ENV a=b c="d e" f='g h' i=j\ k l=
