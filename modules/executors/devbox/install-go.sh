#!/bin/sh
# Puts Go into /usr/local/go, from the Go module proxy, if its checksum is the one written down in ./go-toolchains.
# Needs an older go, which Debian has.
#
# GO_VERSION  such as 1.26.10
set -eu

sums=$(cd "$(dirname "$0")" && pwd)/go-toolchains
version=v0.0.1-go$GO_VERSION.linux-$(dpkg --print-architecture)
wanted=$(sed -n "s/^$version //p" "$sums")
if [ -z "$wanted" ]; then
  echo "There is no checksum of Go $version. Add the line to modules/executors/devbox/go-toolchains; its head says how to get it." >&2
  exit 1
fi

cd "$(mktemp -d)"
printf 'module fetch\n' >go.mod
answer=$(go mod download -json "golang.org/toolchain@$version") || {
  echo "Go $version could not be downloaded: $answer" >&2
  exit 1
}
field() { printf '%s\n' "$answer" | sed -n "s/.*\"$1\": \"\(.*\)\".*/\1/p"; }
if [ "$(field Sum)" != "$wanted" ]; then
  echo "Go $version has the checksum $(field Sum), not $wanted. Nothing was installed." >&2
  exit 1
fi

cp -r "$(field Dir)" /usr/local/go
chmod -R u+w,go-w /usr/local/go
# A module holds no modes and no go.mod below its root, so the toolchain comes with neither.
chmod 0755 /usr/local/go/bin/* /usr/local/go/pkg/tool/*/*
find /usr/local/go -name _go.mod -exec sh -c 'mv "$1" "${1%/*}/go.mod"' - {} \;
/usr/local/go/bin/go version
