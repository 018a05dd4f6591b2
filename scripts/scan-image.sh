#!/bin/sh
# Fails where an image holds a critical fault that a newer package mends: scripts/scan-image.sh IMAGE…
#
# Needs trivy or grype, and their database from the network, which neither can do without. Trivy is taken where both are.
#
# SCANNER  trivy or grype, by its path where it is not in PATH
# Exit     0 nothing to mend · 1 something is, and the lines above name it · 2 it could not be looked at
set -eu

stop() {
  echo "$1" >&2
  exit 2
}

[ $# -gt 0 ] || stop 'Which image? Usage: scripts/scan-image.sh IMAGE…'
for image; do
  case $image in -* | '') stop "'$image' is no image." ;; esac
done

scanner=${SCANNER:-$(command -v trivy || command -v grype || true)}
[ -n "$scanner" ] || stop 'There is no scanner. Install trivy (https://trivy.dev) or grype, or name one by its path in SCANNER.'
command -v "$scanner" >/dev/null 2>&1 || stop "The scanner $scanner cannot be run. Name one that can in SCANNER."

# Each is asked for its own exit code for a finding, so that a scan that broke is not taken for one.
case ${scanner##*/} in
  trivy*)
    found=10
    scan() { "$scanner" image --scanners vuln --ignore-unfixed --severity CRITICAL --exit-code "$found" --no-progress "$1"; }
    ;;
  grype*)
    found=2
    scan() { "$scanner" --only-fixed --fail-on critical --quiet "$1"; }
    ;;
  *) stop "The scanner $scanner is neither trivy nor grype, so how to ask it is unknown." ;;
esac

result=0
for image; do
  echo "scan: $image"
  code=0
  scan "$image" || code=$?
  case $code in
    0) ;;
    "$found") result=1 ;;
    *) stop "scan: $image could not be looked at; the lines above say why." ;;
  esac
done
[ "$result" -eq 0 ] || echo 'scan: build the images again with newer packages (DEBIAN_SNAPSHOT, or a newer pin), then scan again.' >&2
exit "$result"
