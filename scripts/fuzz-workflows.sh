#!/bin/sh
# Sends 100,000 random bodies to the workflow routes of a real service and fails on the first answer of 500.
# Takes: Node, and Postgres as for the tests (DATABASE_URL, or the embedded one). About twenty minutes on two cores.
#
#   scripts/fuzz-workflows.sh [CASES]          FUZZ_SEED=123 scripts/fuzz-workflows.sh repeats a run
set -eu
cd "$(dirname "$0")/.."
FUZZ_CASES="${1:-100000}" npm run jest -- test/workflows/fuzz-body.test.ts
