# shellcheck shell=bash
# The platform's images. A tag is the hash of everything the image is made from, so an image that exists is right and
# nothing is made twice. Each is looked for on the engine, in the cache folder, at a registry (third-party ones), and
# built from the distribution's packages last. Needs: say.sh, ROOT (the repository), docker.

IMAGE_CACHE=${AVIARY_IMAGE_CACHE-/var/cache/aviary/images}
IMAGE_LOGS=${AVIARY_LOG_DIR:-/var/log/aviary}
# Raise to have a fresh base with the distribution's newest packages everywhere.
BASE_SERIAL=20261121
# On every image made here, stages of builds included: by it `up` finds what was superseded (host/old-images.ts).
IMAGE_LABEL=aviary.image
declare -A IMAGE_MEMO=()
REGISTRY_SILENT=${AVIARY_NO_REGISTRY:-}

# Whose Dockerfile an image is made by. One without its own says in its folder what it gives that one (build-args).
image_recipe() {
  case $1 in
    postgres-older) echo postgres ;;
    *) echo "$1" ;;
  esac
}

# Files (below ROOT) an image is made from.
image_inputs() {
  local tests=(-not -name '*.spec.ts' -not -name '*.spec.tsx' -not -path '*/dist/*' -not -path '*/node_modules/*')
  local build=(package.json package-lock.json tsconfig.json tsconfig.build.json tsconfig.web.json)
  case $1 in
    builder-node) printf '%s\n' package.json package-lock.json ;;
    builder-go) ;;
    portal)
      printf '%s\n' "${build[@]}"
      (cd "$ROOT" && find apps libs tenant-template -type f "${tests[@]}")
      ;;
    runtime)
      printf '%s\n' "${build[@]}"
      (cd "$ROOT" && find apps/runtime apps/dashboard libs/{contracts,async,config,crypto,telemetry,trading,ui} \
        -type f "${tests[@]}" 2>/dev/null)
      ;;
    test-tools) (cd "$ROOT" && find test/support/go -type f) ;;
  esac
  (cd "$ROOT" && printf 'images/%s\n' "$1" "$(image_recipe "$1")" | sort -u | xargs -I '{}' find '{}' -type f)
}

image_parents() {
  case $1 in
    portal | runtime) echo base builder-node ;;
    traefik | lego) echo base edge-programs ;;
    edge-programs | test-tools) echo base builder-go ;;
    *) echo base ;;
  esac
}

image_official() {
  case $1 in
    base) echo debian:trixie-slim ;;
    postgres) echo postgres:17 ;;
    postgres-older) echo postgres:15 ;;
    redis) echo redis:8 ;;
    traefik) echo traefik:v3.6.12 ;;
    lego) echo goacme/lego:v4.33.0 ;;
  esac
}

# image_reference NAME: sets REFERENCE to name and tag; the image itself need not exist.
image_reference() {
  if [[ -z ${IMAGE_MEMO[$1]:-} ]]; then
    local parents='' parent
    if [[ $1 != base ]]; then
      for parent in $(image_parents "$1"); do
        image_reference "$parent"
        parents+="$REFERENCE "
      done
    fi
    IMAGE_MEMO[$1]="aviary/$1:$({
      echo "$1 $BASE_SERIAL $parents"
      [[ $1 == base ]] || (cd "$ROOT" && image_inputs "$1" | LC_ALL=C sort | xargs -d '\n' sha256sum)
    } | sha256sum | cut -c 1-12)"
  fi
  REFERENCE=${IMAGE_MEMO[$1]}
}

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

image_tarball() { echo "$IMAGE_CACHE/${1#aviary/}.tar" | tr : -; }

# Worth keeping as files: slow to make, small, needed by more than one engine.
image_is_cached() { [[ -n $IMAGE_CACHE && $1 =~ ^(base|postgres|postgres-older|redis|traefik|lego|test-tools)$ ]]; }

image_pull() { # name, reference
  local official
  official=$(image_official "$1")
  [[ -n $official && -z $REGISTRY_SILENT ]] || return 1
  if patiently "pulling $official" "$IMAGE_LOGS/pull-$1.log" docker pull "$official" 2>/dev/null; then
    docker tag "$official" "$2"
  else
    # one silence answers for all: an air-gapped host should not wait for each image
    REGISTRY_SILENT=yes
    say 'no image registry answers, so images are built from Debian packages'
    return 1
  fi
}

make_base() { # reference
  command -v mmdebstrap >/dev/null || die 'mmdebstrap is missing, and no registry serves debian:trixie-slim. Install mmdebstrap.'
  local tar
  tar=$(mktemp /var/tmp/aviary-base-XXXXXX.tar)
  patiently 'making the Debian 13 base image' "$IMAGE_LOGS/build-base.log" \
    mmdebstrap --variant=minbase --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$tar" || { rm -f "$tar"; return 1; }
  docker import -c "LABEL $IMAGE_LABEL=base" "$tar" "$1" >/dev/null
  rm -f "$tar"
}

# The context is exactly the hashed inputs (and, for builder images, the authorities of an inspecting proxy).
image_context() { # name
  local authorities=/usr/local/share/ca-certificates empty=''
  if [[ $1 != builder-* ]]; then
    image_inputs "$1" | tar -c -C "$ROOT" -T -
    return
  fi
  if [[ ! -d $authorities ]]; then
    empty=$(mktemp -d)
    mkdir "$empty/ca-certificates"
    authorities=$empty/ca-certificates
  fi
  image_inputs "$1" | tar -c -C "$ROOT" -T - -C "$(dirname "$authorities")" ca-certificates
  [[ -z $empty ]] || rm -r "$empty"
}

image_build() { # name, reference
  local arguments=(--network host --label "$IMAGE_LABEL=$1" -t "$2" -f "images/$(image_recipe "$1")/Dockerfile") parent argument
  for parent in $(image_parents "$1"); do
    image_reference "$parent"
    case $parent in
      base) arguments+=(--build-arg "BASE=$REFERENCE") ;;
      *) arguments+=(--build-arg "BUILDER=$REFERENCE") ;;
    esac
  done
  if [[ -s $ROOT/images/$1/build-args ]]; then
    while read -r argument; do
      arguments+=(--build-arg "$argument")
    done <"$ROOT/images/$1/build-args"
  fi
  if [[ $1 == builder-node && -n ${NPM_CONFIG_REGISTRY:-} ]]; then
    arguments+=(--build-arg "NPM_CONFIG_REGISTRY=$NPM_CONFIG_REGISTRY")
  fi
  image_context "$1" | DOCKER_BUILDKIT=0 docker build "${arguments[@]}" -
}

# ensure_image NAME: afterwards the engine has it; sets REFERENCE.
ensure_image() {
  local name=$1 reference parent tarball
  image_reference "$name"
  reference=$REFERENCE
  image_exists "$reference" && return
  mkdir -p "$IMAGE_LOGS"
  tarball=$(image_tarball "$reference")
  if [[ -n $IMAGE_CACHE && -s $tarball ]]; then
    patiently "loading image $name" "$IMAGE_LOGS/load-$name.log" docker load -i "$tarball"
  elif image_pull "$name" "$reference"; then
    :
  elif [[ $name == base ]]; then
    make_base "$reference"
  else
    for parent in $(image_parents "$name"); do
      ensure_image "$parent"
    done
    patiently "building image $name" "$IMAGE_LOGS/build-$name.log" image_build "$name" "$reference" || return 1
  fi
  if image_is_cached "$name" && [[ ! -s $tarball ]]; then
    mkdir -p "$IMAGE_CACHE"
    # twelve digits: another image's name may begin with this one's
    rm -f "$IMAGE_CACHE/$name"-????????????.tar
    docker save -o "$tarball.part" "$reference" && mv "$tarball.part" "$tarball"
  fi
  REFERENCE=$reference
}

# print_images ACTION NAME…: ensure_image or image_reference for each, and `NAME REFERENCE` once it is there. Not in a
# condition: then the first failure would not end it.
print_images() {
  local action=$1 name
  for name in "${@:2}"; do
    "$action" "$name"
    echo "$name $REFERENCE"
  done
}

# print_ensured NAME…: as print_images ensure_image, but what Go compiles beside all the others, since neither keeps two
# processors busy.
print_ensured() {
  local name compiled=() others=() pids=() pid status=0
  # The others are made from it, and it finds out whether a registry answers.
  ensure_image base
  for name in "$@"; do
    case $name in
      traefik | lego | test-tools) compiled+=("$name") ;;
      *) others+=("$name") ;;
    esac
  done
  print_images ensure_image "${compiled[@]}" &
  pids+=($!)
  print_images ensure_image "${others[@]}" &
  pids+=($!)
  for pid in "${pids[@]}"; do
    wait "$pid" || status=$?
  done
  return "$status"
}

# Images of tests and benches; postgres-older is the tests' own.
# shellcheck disable=SC2034  # for who sources this
TEST_IMAGES=(base postgres redis test-tools lego traefik portal runtime postgres-older)

# export_images FILE: AVIARY_IMAGE_… as `images` wrote them there: the sources may have changed since they were made.
export_images() {
  local name reference
  while read -r name reference; do
    name=${name//-/_}
    export "AVIARY_IMAGE_${name^^}=$reference"
  done < <(grep -E '^[a-z-]+ aviary/[a-z-]+:[0-9a-f]+$' "$1")
}
