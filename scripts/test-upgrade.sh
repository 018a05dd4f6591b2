#!/bin/sh
# An upgrade and a roll-back with 500 tasks in flight: work that an earlier version began is finished by this one, and
# what this one began by the earlier one again (about ten minutes, on Linux with nothing else to do).
#
#   scripts/test-upgrade.sh [REF]     REF is the earlier version; without it the newest tag, else 50 commits ago
#
# Needs what make test needs, and the history of the repository. The earlier version runs with the packages of this one.
# Starts its own Postgres; touches no other.
set -eu
cd "$(dirname "$0")/.."
unset DATABASE_URL
ref="${1:-$(git describe --tags --abbrev=0 2>/dev/null || git rev-list --max-count=1 --skip=50 HEAD)}"
if [ -z "$ref" ] || ! git cat-file -e "$ref^{commit}" 2>/dev/null; then
  echo "There is no commit '$ref' here: this is a shallow clone, and nothing earlier can be tried. Fetch the history first."
  exit 0
fi
from="$(mktemp -d)"
trap 'rm -rf "$from"' EXIT
git archive "$ref" | tar -x -C "$from"
cp -al node_modules "$from/node_modules" 2>/dev/null || cp -a node_modules "$from/node_modules"
# An earlier version that refuses migrations it does not know has to have them hidden from it, as an operator would.
grep -q readLater "$from/service/platform/migrate.ts" || export UPGRADE_FORGET=1
echo "from $(git log -1 --format='%h %s' "$ref")"
export UPGRADE_FROM="$from" UPGRADE_TASKS="${UPGRADE_TASKS:-500}"
npm run --silent jest -- --runInBand test/e2e/upgrade.test.ts
