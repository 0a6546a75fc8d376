. /usr/lib/shop/prices.sh
echo "{\"apple\": $(price apple)}" > index.html
exec httpd -f -p 8080 -h .
