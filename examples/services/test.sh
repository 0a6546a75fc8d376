. /usr/lib/shop/prices.sh
[ "$(price apple)" = 45 ] && ! price unicorn 2>/dev/null
