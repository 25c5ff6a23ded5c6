# shellcheck shell=bash
# Helpers of make-image: layers by the ordinary package clients, and an OCI layout around them.
# The caller sets `work`, a directory of its own.
: "${work:=}"

# One time for every file and the config, so that the same packages give the same digests.
epoch=1700000000

say() { printf '%s\n' "$*" >&2; }
die() { say "make-image: $*"; exit 1; }
timed() { # timed WHAT COMMAND...: runs it and says how long it took
  local what=$1 started=$SECONDS
  shift
  "$@" || die "$what: failed"
  say "  $what ($((SECONDS - started)) s)"
}

check_tools() {
  local tool missing=()
  for tool in mmdebstrap npm jq tar gzip sha256sum; do
    command -v "$tool" >/dev/null 2>&1 || missing+=("$tool")
  done
  pip=
  for tool in python3 /usr/bin/python3; do
    if [ -z "$pip" ] && "$tool" -m pip --version >/dev/null 2>&1; then pip=$tool; fi
  done
  [ -n "$pip" ] || missing+=(pip)
  [ ${#missing[@]} = 0 ] || die "missing: ${missing[*]} (scripts/install-packages image installs them)"
}

# --- layers -------------------------------------------------------------------------------------

# The mirror that this machine's own apt uses, if it is a Debian one; else the public one.
debian_mirror() {
  local mirror
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null \
    | awk '$1 == "Debian" && $2 !~ /security|updates|backports/ { print $3; exit }') || true
  echo "${mirror:-http://deb.debian.org/debian}"
}

# debian_root TAR SUITE PACKAGE...: a small root from the release pocket alone, without its fixes
debian_root() {
  local tar=$1 suite=$2 keyring=/usr/share/keyrings/debian-archive-keyring.gpg log=$work/mmdebstrap.log
  local packages
  packages=$(IFS=,; echo "${*:3}")
  # What mmdebstrap takes over from this machine, and lists that the image has no use for.
  local tidy="cd \"\$1\" && rm -rf var/cache/apt/*.bin var/lib/apt/lists/* etc/hostname && : >etc/resolv.conf"
  tidy+=" && echo 'deb http://deb.debian.org/debian $suite main' >etc/apt/sources.list"
  [ -f "$keyring" ] || die "missing $keyring (Debian package debian-archive-keyring)"
  # Written through stdout: in its rootless modes mmdebstrap may not reach our directory.
  if ! SOURCE_DATE_EPOCH=$epoch mmdebstrap --quiet --variant=essential --keyring="$keyring" --skip=output/dev \
    --include="apt,$packages" --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --customize-hook="$tidy" \
    "$suite" - "deb $(debian_mirror) $suite main" >"$tar" 2>"$log"; then
    tail -n 20 "$log" >&2
    return 1
  fi
}

# npm_install PACKAGE...: into the current directory, running nobody's scripts
npm_install() {
  npm install --silent --no-audit --no-fund --no-update-notifier --ignore-scripts --legacy-peer-deps \
    --cache "$work/npm-cache" "$@" >"$work/npm.log" 2>&1 \
    || { tail -n 20 "$work/npm.log" >&2; return 1; }
}

# pip_install DIR PACKAGE...: wheels without machine code, exactly these, compiled to nothing
pip_install() {
  local dir=$1
  shift
  mkdir -p "$dir"
  "$pip" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
    --platform any --python-version 3.11 --implementation py --target "$dir" "$@" >"$work/pip.log" 2>&1 \
    || { tail -n 20 "$work/pip.log" >&2; return 1; }
}

# whiteout DIR NAME: says that NAME of the layers below is deleted, or that only this layer's part of it stays
whiteout() {
  if [ -d "$1/$2" ]; then : >"$1/$2/.wh..wh..opq"; else : >"$1/.wh.$2"; fi
}

pack_layer() { # pack_layer ROOT TAR
  tar --create --file "$2" --directory "$1" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner \
    --mode='u+rwX,go+rX,go-w' --format=pax --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime .
}

# --- the OCI layout -----------------------------------------------------------------------------

sha256() { sha256sum "$1" | cut -d' ' -f1; }

start_layout() {
  layout_dir=$1
  mkdir -p "$layout_dir/blobs/sha256"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$layout_dir/oci-layout"
  layers='[]' diff_ids='[]' history='[]'
  created=$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)
}

# put_blob FILE: moves it under its digest and prints its descriptor, without a media type
put_blob() {
  local digest size
  digest=$(sha256 "$1")
  size=$(stat --format %s "$1")
  mv "$1" "$layout_dir/blobs/sha256/$digest"
  jq --null-input --compact-output --arg d "sha256:$digest" --argjson s "$size" '{digest: $d, size: $s}'
}

add_layer() { # add_layer TAR CREATED_BY
  local descriptor diff
  diff=sha256:$(sha256 "$1")
  gzip --no-name -6 --force "$1"
  descriptor=$(put_blob "$1.gz")
  layers=$(jq --compact-output --argjson d "$descriptor" \
    '. + [{mediaType: "application/vnd.oci.image.layer.v1.tar+gzip"} + $d]' <<<"$layers")
  diff_ids=$(jq --compact-output --arg d "$diff" '. + [$d]' <<<"$diff_ids")
  history=$(jq --compact-output --arg by "$2" --arg at "$created" '. + [{created: $at, created_by: $by}]' <<<"$history")
}

architecture() {
  case $(dpkg --print-architecture) in
    armhf) echo arm ;;
    i386) echo 386 ;;
    ppc64el) echo ppc64le ;;
    *) dpkg --print-architecture ;;
  esac
}

finish_layout() { # finish_layout REF CONFIG: config, manifest and index
  local config manifest platform
  platform=$(jq --null-input --compact-output --arg a "$(architecture)" '{architecture: $a, os: "linux"}')
  jq --null-input --compact-output --arg at "$created" --argjson p "$platform" --argjson c "$2" \
    --argjson d "$diff_ids" --argjson h "$history" \
    '{created: $at} + $p + {config: $c, rootfs: {type: "layers", diff_ids: $d}, history: $h}' >"$work/config.json"
  config=$(put_blob "$work/config.json")
  jq --null-input --compact-output --argjson c "$config" --argjson l "$layers" \
    '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: ({mediaType: "application/vnd.oci.image.config.v1+json"} + $c), layers: $l}' >"$work/manifest.json"
  manifest=$(put_blob "$work/manifest.json")
  jq --null-input --argjson m "$manifest" --argjson p "$platform" --arg ref "$1" \
    '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json"} + $m
        + {platform: $p, annotations: {"org.opencontainers.image.ref.name": $ref}}]}' >"$layout_dir/index.json"
}
