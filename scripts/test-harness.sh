#!/bin/sh
# What is asked of the harness, the long way (about half an hour on two cores, with nothing else to do): the traps of a
# hostile repository also with OpenCode's defaults, so that it shows that they can spring, and 200 tasks through one
# bridge with a look at its processes, files and memory.
#
#   scripts/test-harness.sh                                  all
#   OPENCODE_PROGRAM=/path/opencode scripts/test-harness.sh  also holds another build against the conformance suite
#
# Needs what make test needs; no network and no database.
set -eu
cd "$(dirname "$0")/.."
export HARNESS_CONTROL=1 GROWTH_TASKS="${GROWTH_TASKS:-200}"
npm run --silent jest -- --runInBand test/modules/opencode/bridge/hostile-repository.test.ts
npm run --silent jest -- --runInBand test/modules/opencode/bridge/conformance.test.ts
npm run --silent jest -- --runInBand test/modules/opencode/bridge/growth.test.ts
