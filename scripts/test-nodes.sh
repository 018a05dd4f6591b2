#!/bin/sh
# Shows that other versions of Node render the same bytes, start the service and finish a workflow: 22 and 24, or those
# that are named. Takes them from npm once, into the cache of this user.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 22 24
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for version in "$@"; do
  with="sh scripts/with-node.sh $version"
  echo "Node $($with node --version)"
  $with node scripts/outrigger.mjs template render --check
  $with node scripts/outrigger.mjs demo >"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    exit 1
  }
  tail -n 3 "$log"
done
