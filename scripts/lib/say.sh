# shellcheck shell=bash
# Words to the person at the terminal: progress on stderr, one line each; results belong on stdout.

say() { printf '%s\n' "· $*" >&2; }

die() {
  printf '%s\n' "✗ $1" >&2
  exit "${2:-1}"
}

# The last line of a log that says something, without colours.
last_words() { tail -c 2000 "$1" | tr '\r' '\n' | sed 's/\x1b\[[0-9;]*m//g' | grep -a '[^[:space:]]' | tail -n 1 | cut -c 1-90; }

# Runs a command that takes long, its output to a log; says every 15 s that it lives and, if it fails, why.
# patiently WHAT LOG COMMAND…
patiently() {
  local what=$1 log=$2 started=$SECONDS pid status=0
  shift 2
  # 9 is the lock of scripts/up, which a service that a package starts must not hold. None of whoever called either: with
  # many open, mmdebstrap hands apt one of two digits, which no plain shell can be told of.
  "$@" >"$log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
  pid=$!
  local next=15
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - started >= next)); then
      say "$what: $((SECONDS - started)) s, $(last_words "$log")"
      next=$((next + 15))
    fi
  done
  wait "$pid" || status=$?
  if ((status != 0)); then
    tail -n 30 "$log" >&2
    printf '%s\n' "✗ $what failed after $((SECONDS - started)) s; all of it is in $log" >&2
  elif ((SECONDS - started >= 5)); then
    say "$what: done in $((SECONDS - started)) s"
  fi
  return "$status"
}
