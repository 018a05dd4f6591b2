#!/usr/bin/env bash
# Builds the pinned coder/coder Terraform provider into an offline filesystem mirror.
#
# usage: terraform-providers.sh [CACHE_DIR]      (or: eval "$(scripts/terraform-providers.sh)")
# stdout  one export line for TF_CLI_CONFIG_FILE; progress goes to stderr.
# cache   CACHE_DIR, else OUTRIGGER_TERRAFORM_CACHE, else ${XDG_CACHE_HOME:-~/.cache}/outrigger/terraform.
# JOBS=n  sets the parallelism of the build. A second run only prints the line.
# exit    0 done · 1 the build failed · 2 Go is missing
#
# Only coder/coder is offered by the Go module proxy at the wanted version; docker and kubernetes
# are checked against their checked-in schemas instead (test/support/terraform).
set -euo pipefail

CODER_VERSION=2.19.0

fail() {
  printf 'terraform-providers: %s\n' "$2" >&2
  exit "$1"
}

root=${1:-${OUTRIGGER_TERRAFORM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outrigger/terraform}}
mkdir -p "$root"
root=$(cd "$root" && pwd)
case $root in *[\"\\\$]*) fail 1 "the cache path may not contain a quote, backslash or dollar: $root" ;; esac

command -v go >/dev/null 2>&1 || fail 2 "'go' is not in PATH; install Go 1.26 or newer to check with the real coder provider"
platform=$(go env GOOS)_$(go env GOARCH)
export GOWORK=off CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"

# build NAMESPACE/TYPE VERSION MODULE
build() {
  local type=${1#*/} directory binary work
  directory=$root/mirror/registry.terraform.io/$1/$2/$platform
  binary=$directory/terraform-provider-${type}_v$2
  [[ -x $binary ]] && return 0
  printf 'building terraform provider %s %s (a minute or two, once) …\n' "$1" "$2" >&2
  work=$(mktemp -d)
  GOBIN=$work go install -p "${JOBS:-2}" "$3@v$2" >&2 || {
    rm -rf "$work"
    fail 1 "building $1 $2 failed; the lines above say why"
  }
  mkdir -p "$directory"
  # Two builds at once are harmless: each moves a whole file into place.
  mv "$work/terraform-provider-$type" "$binary.new.$$"
  mv "$binary.new.$$" "$binary"
  rm -rf "$work"
}

build coder/coder "$CODER_VERSION" github.com/coder/terraform-provider-coder/v2

cat > "$root/terraform.rc.new.$$" <<RC
disable_checkpoint = true
provider_installation {
  filesystem_mirror {
    path    = "$root/mirror"
    include = ["registry.terraform.io/*/*"]
  }
}
RC
mv "$root/terraform.rc.new.$$" "$root/terraform.rc"
printf 'export TF_CLI_CONFIG_FILE=%q\n' "$root/terraform.rc"
