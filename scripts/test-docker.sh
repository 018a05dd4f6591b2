#!/bin/sh
# Runs every test that needs a Docker daemon, or those whose path matches an argument; scripts/with-docker.sh says how.
#
# TEST_MINUTES  after which everything is stopped; default 30
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- '\.docker\.test\.ts$'
export OUTRIGGER_TEST_DOCKER_ALL=1
exec sh scripts/with-docker.sh timeout --kill-after=10 "${TEST_MINUTES:-30}m" npm run --silent jest -- --runInBand "$@"
