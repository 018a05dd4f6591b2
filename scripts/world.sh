#!/bin/sh
# Lives many lives of the seeded world: random workflows under a clock, a network and crashes of one seed each. The first
# broken rule ends it with its seed. Takes: Node, and Postgres as for the tests. About a second for each life.
#
#   scripts/world.sh [LIVES] [FIRST SEED]          WORLD_SEED=123 scripts/world.sh repeats one
set -eu
cd "$(dirname "$0")/.."
WORLD_LIVES="${1:-1000}" WORLD_FIRST="${2:-1}" npm run jest -- test/workflows/world.test.ts --testNamePattern 'ends every'
