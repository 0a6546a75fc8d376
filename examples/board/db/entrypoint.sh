#!/bin/sh
# Root gives the volume to postgres and goes on as postgres; who comes to an empty volume makes the
# databases in it, with $POSTGRES_PASSWORD. Then the command.
set -eu
if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
    install -d -o postgres -g postgres -m 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?is needed: run with -e POSTGRES_PASSWORD=…}"
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    initdb --encoding UTF8 --username postgres --pwfile /tmp/password --auth-local trust --auth-host scram-sha-256
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    postgres --single postgres </usr/local/share/board.sql
fi
exec "$@"
