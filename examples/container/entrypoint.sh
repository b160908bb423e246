#!/bin/sh
# What the official image's entrypoint does: the scripts, then the command

set -e

for script in /docker-entrypoint.d/*.sh; do
    "$script"
done

exec "$@"
