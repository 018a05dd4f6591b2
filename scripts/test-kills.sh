#!/bin/sh
# Kills, the long way (about half an hour, on Linux with nothing else to do): 200 faults across three service processes
# on one Postgres, then 200 kills of one service in the middle of the demo's workflow with the real OpenCode.
#
#   scripts/test-kills.sh             both
#   KILL_SEED=7 scripts/test-kills.sh repeats the choices of a run
#
# Needs what make test needs. Starts its own Postgres; touches no other.
set -eu
cd "$(dirname "$0")/.."
unset DATABASE_URL
export KILL_ROUNDS="${KILL_ROUNDS:-200}" KILL_SECONDS="${KILL_SECONDS:-3600}"
npm run --silent jest -- --runInBand test/e2e/replicas.test.ts test/e2e/kill-replicas.test.ts
npm run --silent jest -- --runInBand test/e2e/kill-service.test.ts
