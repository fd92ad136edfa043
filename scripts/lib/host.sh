# shellcheck shell=bash
# Running a host command of the platform (apps/agent/src/host) in the tools image. Needs: say.sh, ROOT.

# A setting of .env or the environment, else the default. Reads .env as apps/agent/src/host/env-file.ts does.
setting() { # name, default
  local value=${!1:-} s='[[:space:]]*'
  [[ -n $value ]] || value=$(sed -nE "/^$s(export[[:space:]]+)?$1$s=/{s///;s/^$s//;s/$s\$//;s/^(['\"])(.*)\1\$/\2/;p}" \
    "$ROOT/.env" 2>/dev/null | tail -n 1)
  printf '%s' "${value:-$2}"
}

# host_command IMAGE NAME [ARGUMENT…]: node dist/apps/agent/src/host/NAME.js with engine, data folder and repository.
host_command() {
  local image=$1 name=$2 data engine backups arguments=() variable
  shift 2
  data=$(setting AVIARY_DATA_DIR /var/lib/aviary)
  engine=$(setting AVIARY_ENGINE_SOCKET /var/run/docker.sock)
  [[ $data == /* ]] || die "AVIARY_DATA_DIR must be an absolute path; it is $data." 2
  mkdir -p "$data" 2>/dev/null ||
    die "The data folder $data cannot be made. Mend that, or set AVIARY_DATA_DIR in .env to another folder." 8
  backups=$(setting AVIARY_BACKUP_URL '')
  if [[ $backups == /* ]]; then
    mkdir -p "$backups" 2>/dev/null ||
      die "The backup folder $backups cannot be made. Mend that, or set AVIARY_BACKUP_URL in .env to another folder." 8
    arguments+=(-v "$backups:$backups")
  fi
  mkdir -p "${IMAGE_CACHE:=/var/cache/aviary/images}" /var/log/aviary /usr/local/share/ca-certificates
  # as they lie on this host: in a container the engine has put others in their place
  local AVIARY_HOST_RESOLV_CONF AVIARY_HOST_SYSTEMD_RESOLV_CONF AVIARY_HOST_DAEMON_JSON
  AVIARY_HOST_RESOLV_CONF=$(cat /etc/resolv.conf 2>/dev/null || true)
  AVIARY_HOST_SYSTEMD_RESOLV_CONF=$(cat /run/systemd/resolve/resolv.conf 2>/dev/null || true)
  AVIARY_HOST_DAEMON_JSON=$(cat /etc/docker/daemon.json 2>/dev/null || true)
  export AVIARY_HOST_RESOLV_CONF AVIARY_HOST_SYSTEMD_RESOLV_CONF AVIARY_HOST_DAEMON_JSON
  for variable in $(compgen -e AVIARY_) NO_COLOR TERM NPM_CONFIG_REGISTRY; do
    # by name only: the values stay out of the argument list. Master keys have no place in an environment at all.
    [[ $variable != AVIARY_MASTER_KEY && $variable != AVIARY_NEXT_MASTER_KEY ]] || continue
    [[ -z ${!variable:-} ]] || arguments+=(-e "$variable")
  done
  [[ -t 0 && -t 1 ]] && arguments+=(-t)
  docker run --rm -i "${arguments[@]}" --user 0:0 --network host --cap-add NET_ADMIN --log-driver none \
    -v "$engine:/var/run/docker.sock" -v "$data:$data" -v "$ROOT:$ROOT" \
    -v "$IMAGE_CACHE:$IMAGE_CACHE" -v /var/log/aviary:/var/log/aviary \
    -v /usr/local/share/ca-certificates:/usr/local/share/ca-certificates:ro \
    "$image" node "dist/apps/agent/src/host/$name.js" "$ROOT" "$@"
}

# For `up` and what goes before it: an engine and the tools image, whatever that takes; sets REFERENCE. Needs engine.sh and
# images.sh too.
ready_tools() {
  local engine
  # two at once would build the same images and start the same containers
  engine=$(setting AVIARY_ENGINE_SOCKET /var/run/docker.sock)
  mkdir -p /run/lock
  exec 9>"/run/lock/aviary-up${engine//\//-}"
  if ! flock -n 9; then
    say 'another scripts/up works with this engine; waiting for it to end'
    flock 9
  fi
  [[ $(uname -m) == x86_64 ]] || die "This release runs on x86_64 machines; this one is $(uname -m)."
  ensure_engine
  image_reference base
  if ! image_exists "$REFERENCE" && ! [[ -s $(image_tarball "$REFERENCE") ]]; then
    install_packages mmdebstrap debian-archive-keyring
  fi
  ensure_image portal
  # one silence answers for the other images too
  [[ -z $REGISTRY_SILENT ]] || export AVIARY_NO_REGISTRY=yes
}

# The image `up` started last; sets IMAGE, fails where there was no `up`.
running_image() {
  IMAGE=$(cat "$(setting AVIARY_DATA_DIR /var/lib/aviary)/portal-image" 2>/dev/null) && docker image inspect "$IMAGE" >/dev/null 2>&1
}

# A reboot must not open a hole: the rules are loaded before the engine starts a container. Needs engine.sh.
install_host_care() {
  local data unit name
  data=$(setting AVIARY_DATA_DIR /var/lib/aviary)
  if [[ $(setting AVIARY_ENGINE_SOCKET /var/run/docker.sock) != /var/run/docker.sock ]]; then
    say "the engine is not this host's own: run $data/firewall/load.sh before it starts"
  elif [[ -d /run/systemd/system ]]; then
    install_engine_care
    for unit in "$data"/firewall/aviary-firewall-*.service; do
      name=$(basename "$unit")
      if ! cmp -s "$unit" "/etc/systemd/system/$name"; then
        install -m 0644 "$unit" "/etc/systemd/system/$name"
        systemctl daemon-reload
        systemctl enable -q "$name"
      fi
    done
  else
    say "this machine runs no systemd: run $data/firewall/load.sh before the engine at each boot," \
      "and $ROOT/scripts/lib/clear-half-started before each start of it"
  fi
}
