#!/bin/sh
# Contract of the official redis image: options or a .conf file alone mean redis-server; root steps down to uid 999.
set -eu
case "${1:-}" in
  '' | -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user redis -exec chown redis '{}' +
  exec setpriv --reuid redis --regid redis --init-groups "$0" "$@"
fi
# The official image sets this too unless told otherwise: what Redis writes is for itself only.
um=$(umask)
[ "$um" = 0022 ] && umask 0077
exec "$@"
