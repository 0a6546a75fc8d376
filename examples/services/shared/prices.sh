# price THING: what it costs, in cents.
price() {
    case $1 in
        apple) echo 45 ;;
        bread) echo 310 ;;
        *) echo "no $1 here" >&2; return 1 ;;
    esac
}
