# make.sh TEXTS OUT TITLE: a page for each text, in the layout that stands beside this script.
set -eu
mkdir -p "$2"
for text in "$1"/*.txt; do
    name=$(basename "$text" .txt)
    sed -e "s/@TITLE@/$3/" -e "s/@NAME@/$name/" -e "/@TEXT@/{r $text" -e "d}" layout.html \
        > "$2/$name.html"
done
