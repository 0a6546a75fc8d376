#!/bin/sh
echo "Hello from a container on $(uname -s) $(uname -r)."
cat /built
echo "In here I am $(id -un), process number $$, on a host called $(hostname)."
