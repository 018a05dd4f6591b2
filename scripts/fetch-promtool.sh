#!/bin/sh
# Says where promtool is, fetching Debian's into .tools/ where PATH has none. Nothing is installed and nothing started.
set -eu
cd "$(dirname "$0")/.."
if command -v promtool; then exit; fi
if [ ! -x .tools/promtool ]; then
  if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
    echo 'promtool is not in PATH, and only on Debian can it be fetched here. Install it with your package manager.' >&2
    exit 1
  fi
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # apt's own user must be able to write there.
  chmod 0777 "$scratch"
  here=$PWD
  cd "$scratch"
  apt-get download -qq prometheus >/dev/null 2>&1 || { apt-get update -qq && apt-get download -qq prometheus; } >/dev/null
  cd "$here"
  dpkg -x "$scratch"/prometheus_*.deb "$scratch/all"
  mkdir -p .tools
  mv "$scratch/all/usr/bin/promtool" .tools/promtool
fi
echo "$PWD/.tools/promtool"
