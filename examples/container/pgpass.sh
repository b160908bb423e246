#!/bin/sh
# The password of hype_nginx, from the secret to a file that only the workers can
# read: libpq takes no other.  Without root the workers are who this is.

set -e

secret=${HYPE_PASSWORD_FILE:-/run/secrets/hype_password}
file=${HYPE_PGPASS:-/etc/nginx/hype.pgpass}
owner=

if [ "$(id -u)" = 0 ]; then
    owner="-o $(getent passwd nginx www-data | sed 's/:.*//;q')"
fi

escaped=$(sed 's/[\\:]/\\&/g' "$secret")

install -m 600 $owner /dev/null "$file"
printf '%s\n' "*:*:*:hype_nginx:$escaped" > "$file"
