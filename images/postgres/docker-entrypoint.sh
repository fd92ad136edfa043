#!/bin/sh
# Contract of the official postgres image: POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE,
# POSTGRES_INITDB_ARGS, /docker-entrypoint-initdb.d. Stricter than it: local connections by peer (this user may be
# any role), network connections by scram only, and a first start without a password is refused.
set -eu

PREPARED=/var/lib/postgresql/prepared
SOCKETS=/run/postgresql
# docker-compose.portal.yml and the template say the same to whichever image they are given.
INITDB_ARGS='--encoding=UTF8 --locale-provider=builtin --locale=C --builtin-locale=C.UTF-8 --data-checksums'
# Before 17 a server has no locales of its own; the C library's of that name sorts the same, by code point.
[ "${PG_MAJOR:-17}" -ge 17 ] || INITDB_ARGS='--encoding=UTF8 --locale=C.UTF-8 --data-checksums'
: "${PGDATA:=/var/lib/postgresql/data}"

fail() {
  echo "postgres: $*" >&2
  exit 1
}

init_cluster() { # user; further arguments go to initdb
  user=$1
  shift
  # shellcheck disable=SC2086 # both are lists of options, and of one given twice the later counts
  initdb -D "$PGDATA" -U "$user" $INITDB_ARGS "$@" ${POSTGRES_INITDB_ARGS:-} >/dev/null
  cat >"$PGDATA/pg_hba.conf" <<'HBA'
local all all peer map=image
local replication all peer map=image
host all all all scram-sha-256
HBA
  # Before 16 a map has no word for any role, so that it names the one the cluster is made for.
  role=all
  [ "${PG_MAJOR:-17}" -ge 16 ] || role="\"$user\""
  printf 'image postgres %s\n' "$role" >"$PGDATA/pg_ident.conf"
}

make_database() { # user, database: through a server that only listens on its socket
  [ "$2" = postgres ] && return
  pg_ctl -D "$PGDATA" -w -s -o "-c listen_addresses='' -k $SOCKETS" start
  echo 'CREATE DATABASE :"db" OWNER :"owner"' | psql -qX -v ON_ERROR_STOP=1 -h "$SOCKETS" -U "$1" -d postgres -v db="$2" -v owner="$1"
  pg_ctl -D "$PGDATA" -w -s -m fast stop
}

# Also does what a first start that was killed left undone. The password goes from its file or the environment to the
# server, never through an argument list or a log.
finish_cluster() { # user, database
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    # shellcheck disable=SC2016 # psql runs the backquoted command
    source_line='\set secret `cat "$POSTGRES_PASSWORD_FILE"`'
  else
    source_line='\getenv secret POSTGRES_PASSWORD'
  fi
  psql -qX -h "$SOCKETS" -U "$1" -d postgres -v ON_ERROR_STOP=1 -v role="$1" -v db="$2" 2>/dev/null <<SQL
SELECT format('CREATE DATABASE %I OWNER %I', :'db', :'role')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'db') \\gexec
$source_line
SET log_min_error_statement = panic;
ALTER ROLE :"role" PASSWORD :'secret';
SQL
}

run_init_files() { # user, database
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sql) psql -qX -v ON_ERROR_STOP=1 -h "$SOCKETS" -U "$1" -d "$2" -f "$file" ;;
      *.sh) sh "$file" ;;
    esac
  done
}

# Runs beside the server until it accepts connections. Always leaves with 0: where postgres is process 1 this process
# becomes its child, and it takes a child's bad exit for a crash of its own. The mark stays for the next start.
finish_first_start() { # user, database
  tries=0
  until finish_cluster "$1" "$2"; do
    tries=$((tries + 1))
    [ "$tries" -gt 3000 ] && echo 'postgres: the password could not be set' >&2 && exit 0
    sleep 0.02
  done
  if run_init_files "$1" "$2"; then
    sync -f "$PGDATA" && rm -f "$MARK"
  else
    echo 'postgres: a file of /docker-entrypoint-initdb.d failed' >&2
  fi
  exit 0
}

if [ "${1:-}" = prepare-cluster ]; then # while the image is built
  PGDATA=$PREPARED
  init_cluster aviary --no-sync
  make_database aviary aviary
  exit 0
fi

case "${1:-}" in
  '') set -- postgres ;;
  -*) set -- postgres "$@" ;;
  postgres) ;;
  *) exec "$@" ;;
esac

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" "$SOCKETS"
  chown -R postgres:postgres "$PGDATA" "$SOCKETS"
  exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi

# The server itself refuses them too, in words that a person has to know.
if [ -s "$PGDATA/PG_VERSION" ] && [ -n "${PG_MAJOR:-}" ] && [ "$(cat "$PGDATA/PG_VERSION")" != "$PG_MAJOR" ]; then
  fail "$PGDATA holds files of PostgreSQL $(cat "$PGDATA/PG_VERSION"), which PostgreSQL $PG_MAJOR cannot open: go back to an image with that version, or have the data dumped and loaded by an upgrade; nothing was changed"
fi

# Present from the first start until the given password is set and everything is on disk.
MARK="$PGDATA/aviary-first-start"
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  [ -n "${POSTGRES_PASSWORD_FILE:-}${POSTGRES_PASSWORD:-}" ] || fail 'set POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD'
  [ -e "$MARK" ] || [ -z "$(find "$PGDATA" -mindepth 1 ! -name lost+found -print -quit)" ] ||
    fail "$PGDATA is not empty and holds no cluster; nothing was changed"
  if [ "$user/$database" = aviary/aviary ] && [ "${POSTGRES_INITDB_ARGS:-$INITDB_ARGS}" = "$INITDB_ARGS" ]; then
    # the version file last: without it an interrupted copy is begun again
    : >"$MARK"
    find "$PREPARED" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec cp -a -t "$PGDATA" {} +
    cp -a "$PREPARED/PG_VERSION" "$PGDATA/"
  else
    init_cluster "$user"
    : >"$MARK"
  fi
  chmod 700 "$PGDATA" 2>/dev/null || true
fi
if [ -e "$MARK" ]; then
  # twice into the background: its parent is then gone before the server starts to watch its children
  (finish_first_start "$user" "$database" &)
fi
exec "$@"
