#!/bin/sh
# The password of hype_nginx, from the secret to a file that only the workers can
# read: libpq takes no other.

set -e

user=$(getent passwd nginx www-data | sed 's/:.*//;q')
escaped=$(sed 's/[\\:]/\\&/g' /run/secrets/hype_password)

install -m 600 -o "$user" /dev/null /etc/nginx/hype.pgpass
echo "*:*:*:hype_nginx:$escaped" > /etc/nginx/hype.pgpass
