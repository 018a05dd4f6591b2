#!/bin/sh
# Runs a command with a Node of this version first in PATH: scripts/with-node.sh 22 COMMAND…
# Takes it from npm once, into the cache of this user.
set -eu
version=$1
shift
case $(uname -sm) in
  'Linux x86_64') platform=linux-x64 ;;
  'Linux aarch64') platform=linux-arm64 ;;
  *)
    echo "There is no package of Node for $(uname -sm) here. Put another node first in PATH and run the command itself: $*" >&2
    exit 2
    ;;
esac
place=${XDG_CACHE_HOME:-$HOME/.cache}/outrigger/node/$version
if [ ! -x "$place/node_modules/node-$platform/bin/node" ]; then
  mkdir -p "$place"
  npm install --silent --no-save --prefix "$place" "node-$platform@$version"
fi
PATH=$place/node_modules/node-$platform/bin:$PATH
export PATH
exec "$@"
