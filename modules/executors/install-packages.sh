#!/bin/sh
# Installs the Debian packages that the given lists name, and nothing they only recommend.
#
# DEBIAN_SNAPSHOT  such as 20261101T000000Z: takes every package as snapshot.debian.org had it then; without it, as
#                  Debian has it today
set -eu

if [ -n "${DEBIAN_SNAPSHOT:-}" ]; then
  for archive in debian debian-security; do
    case $archive in debian) suite=bookworm ;; *) suite=bookworm-security ;; esac
    echo "deb [check-valid-until=no] http://snapshot.debian.org/archive/$archive/$DEBIAN_SNAPSHOT $suite main"
  done >/etc/apt/sources.list
  rm -f /etc/apt/sources.list.d/debian.sources
fi

apt-get update
# shellcheck disable=SC2046 -- a package list is words, and holds no pattern that a file here matches
set -f && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $(grep -hv '^#' "$@")
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
