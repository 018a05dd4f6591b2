#!/bin/sh
# Shows that other versions of Node render the same bytes, start the service and finish a workflow: 22 and 24, or those
# that are named. Takes them from npm once, into the cache of this user.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 22 24
case $(uname -sm) in
  'Linux x86_64') platform=linux-x64 ;;
  'Linux aarch64') platform=linux-arm64 ;;
  *)
    echo "There is no package of Node for $(uname -sm) here. Put another node first in PATH and run ./run test." >&2
    exit 2
    ;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/outrigger/node
for version in "$@"; do
  place=$cache/$version
  if [ ! -x "$place/node_modules/node-$platform/bin/node" ]; then
    mkdir -p "$place"
    npm install --silent --no-save --prefix "$place" "node-$platform@$version"
  fi
  PATH=$place/node_modules/node-$platform/bin:$PATH
  export PATH
  echo "Node $(node --version)"
  node scripts/outrigger.mjs template render --check
  node scripts/outrigger.mjs demo >"$place/demo.log" 2>&1 || {
    tail -n 40 "$place/demo.log" >&2
    exit 1
  }
  tail -n 3 "$place/demo.log"
done
