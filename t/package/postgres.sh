#!/bin/sh
# The entrypoint of Containerfile.postgres

set -e

bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data

as="setpriv --reuid=postgres --regid=postgres --init-groups"

if [ ! -e $data/PG_VERSION ]; then
    install -m 600 -o postgres "$POSTGRES_PASSWORD_FILE" /tmp/password
    install -d -m 700 -o postgres $data
    $as "$bin/initdb" -D $data -A scram-sha-256 --pwfile=/tmp/password > /dev/null
    $as sh -c "echo 'CREATE DATABASE $POSTGRES_DB' \
              | '$bin/postgres' --single -D $data postgres" > /dev/null
    rm /tmp/password
fi

exec $as "$bin/postgres" -D $data -c listen_addresses='*' \
    -c logging_collector=off
