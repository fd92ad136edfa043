# shellcheck shell=bash
# Getting a Docker Engine: installed where none is, started where it does not run. Needs: say.sh, ROOT.

need_root() { [[ $(id -u) == 0 ]] || die "Run ${0##*/} as root: it works with the container engine." 4; }

# install_packages NAME…: those not installed yet, by the distribution's own tool.
install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "Install ${missing[*]} first: this system has no apt-get."
  mkdir -p /var/log/aviary
  patiently 'reading the package lists' /var/log/aviary/apt-update.log apt-get update -q
  patiently "installing ${missing[*]}" /var/log/aviary/apt-install.log \
    env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

engine_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# apparmor: where the kernel has it, the engine starts no container without its parser.
install_engine() {
  install_packages docker.io iptables apparmor ca-certificates
  # a package of its own since Debian 13
  command -v docker >/dev/null || install_packages docker-cli
}

# Containers live on while the engine itself is restarted or upgraded. Only set on an engine we install.
write_live_restore() {
  [[ -e /etc/docker/daemon.json ]] && return
  mkdir -p /etc/docker
  printf '{ "live-restore": true }\n' >/etc/docker/daemon.json
}

start_engine() {
  local log=/var/log/aviary/dockerd.log started=$SECONDS
  mkdir -p /var/log/aviary
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker
  else
    # killed before, it may have left its mark; a process of that number that is not dockerd does not hold it
    if [[ -s /var/run/docker.pid ]] && ! grep -aq dockerd "/proc/$(cat /var/run/docker.pid)/cmdline" 2>/dev/null; then
      rm -f /var/run/docker.pid
    fi
    "$ROOT/scripts/lib/clear-half-started"
    # 9 is the lock of scripts/up, which the engine outlives
    setsid dockerd >>"$log" 2>&1 </dev/null 9>&- &
  fi
  until engine_answers; do
    ((SECONDS - started < 60)) || die "The Docker Engine does not start. Its last words: $(tail -n 3 "$log" 2>/dev/null)" 8
    sleep 0.2
  done
}

# An engine that answers, whatever it takes.
ensure_engine() {
  if ! command -v dockerd >/dev/null && ! engine_answers; then
    write_live_restore
    install_engine
  fi
  if ! engine_answers; then
    say 'starting the Docker Engine'
    start_engine
  fi
}

ENGINE_CARE=/usr/local/lib/aviary/clear-half-started
ENGINE_DROP_IN=/etc/systemd/system/docker.service.d/aviary.conf

# Has systemd run clear-half-started before each start of the engine.
install_engine_care() {
  local unit="[Service]
ExecStartPre=-$ENGINE_CARE"
  cmp -s "$ROOT/scripts/lib/clear-half-started" "$ENGINE_CARE" ||
    install -D -m 0755 "$ROOT/scripts/lib/clear-half-started" "$ENGINE_CARE"
  [[ $(cat "$ENGINE_DROP_IN" 2>/dev/null) != "$unit" ]] || return 0
  mkdir -p "${ENGINE_DROP_IN%/*}"
  echo "$unit" >"$ENGINE_DROP_IN"
  systemctl daemon-reload
}

# Once no platform is left on this machine.
remove_engine_care() {
  ! compgen -G '/etc/systemd/system/aviary-firewall-*.service' >/dev/null || return 0
  rm -f "$ENGINE_DROP_IN" "$ENGINE_CARE"
  rmdir "${ENGINE_DROP_IN%/*}" "${ENGINE_CARE%/*}" 2>/dev/null || true
}
