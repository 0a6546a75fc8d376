. /usr/lib/shop/prices.sh
echo "To: customers"
echo "Bread is $(price bread) cents today, says $(id -un)."
