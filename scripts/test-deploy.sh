#!/bin/sh
# Runs `./run cdktf` as docs/deploy.md gives it: list, synth, diff, deploy and destroy of every stack, under Terraform and
# with providers that know their schema only, so nothing is made anywhere.
#
# Takes Node 22 from npm where this one is older, and lets the command install itself in stacks/deploy: 350 MB once.
set -eu
cd "$(dirname "$0")/.."
if ! command -v terraform >/dev/null; then
  echo 'test-deploy: there is no terraform in PATH. Install 1.11 or newer and run this again.' >&2
  exit 2
fi
export OUTRIGGER_TEST_CDKTF=1
test='npm run --silent jest -- test/stacks/cdktf-command'
if node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 19) ? 0 : 1)'; then
  exec $test
fi
exec sh scripts/with-node.sh 22 $test
