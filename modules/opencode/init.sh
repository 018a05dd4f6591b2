#!/bin/sh
# Fills /tools from this image, once for each version of it. It is the only writer there: everybody else mounts
# /tools read-only.
#
# TOOLS_DIR  where the tools go; default /tools
set -eu

source=$(cd "$(dirname "$0")" && pwd)
tools=${TOOLS_DIR:-/tools}

if cmp -s "$source/version" "$tools/.version"; then
  echo "opencode-init: $tools is up to date."
  exit 0
fi

# A tool is moved into place whole, so that a start that is cut short never leaves half of one.
put() {
  cp "$source/$1" "$tools/.new"
  chmod "$2" "$tools/.new"
  mv -f "$tools/.new" "$tools/$1"
}

rm -f "$tools/.new" "$tools/.version"
# Without read permission the kernel hides the environment of a running OpenCode from everybody else of its user.
put opencode 0111
put rg 0555
put bridge.js 0444
put attach 0555
cp "$source/version" "$tools/.version"
echo "opencode-init: $tools is filled."
