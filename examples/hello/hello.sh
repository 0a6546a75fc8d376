#!/bin/sh
echo "Hello from a container on $(uname -s) $(uname -r)."
cat /built
echo "Here I am $(id -un), process $$ of $(ls -d /proc/[0-9]* | wc -l), on a host called $(hostname)."
