#!/bin/sh
# Builds every image, the large ones too, and smoke-tests what is in them: about an hour on a small machine, 10 GB of
# disk, and needs npm's registry and the Go module proxy. BUILD_CA names the certificates of a network that opens TLS.
# OUTRIGGER_TEST_GALLERY=1 installs extensions from the gallery too, where a container reaches it.
set -eu
cd "$(dirname "$0")/.."
export OUTRIGGER_TEST_IMAGES=1 TEST_MINUTES="${TEST_MINUTES:-150}"
exec sh scripts/test-docker.sh 'test/images/large-images\.docker\.test\.ts$'
