#!/bin/sh
# Installs or upgrades the schema, and sets the password of hype_nginx.

set -e

export PGPASSWORD="$(cat /run/secrets/postgres_password)"

exec psql -h db -U postgres -d app -v ON_ERROR_STOP=1 \
    -v password="$(cat /run/secrets/hype_password)" \
    -f /sql/hype.sql -f - <<'END'
ALTER ROLE hype_nginx PASSWORD :'password';
END
