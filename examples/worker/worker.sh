#!/bin/sh
# Runs every job in /etc/worker, each INTERVAL seconds; ends between two jobs at SIGTERM.
trap 'echo "stopped after $round rounds"; exit 0' TERM INT
round=0
while :; do
    for job in /etc/worker/*; do
        "$job" || echo "$job failed: $?" >&2
    done
    round=$((round + 1))
    sleep "$INTERVAL" &
    wait $!
done
