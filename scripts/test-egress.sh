#!/bin/sh
# Tries every way around a workspace's list of hosts, in network namespaces that it makes for itself, and writes the
# numbers to test/egress/README.md. Needs root on Linux; on Debian it installs what is missing. About a minute.
#
# Nothing outside of these namespaces is contacted, and nothing of this machine's own network is changed.
set -eu
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo 'Network namespaces need root. Run this as root.' >&2; exit 2; }
for pair in ip:iproute2 nft:nftables setpriv:util-linux openssl:openssl perl:perl-base curl:curl git:git ssh:openssh-client; do
  command -v "${pair%%:*}" >/dev/null 2>&1 && continue
  command -v apt-get >/dev/null 2>&1 || { echo "${pair%%:*} is missing. Install ${pair#*:}." >&2; exit 2; }
  echo "Installing ${pair#*:} ..."
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "${pair#*:}" >/dev/null
done

OUTRIGGER_TEST_EGRESS_ALL=1 npm run --silent jest -- --ci --runInBand --testPathPatterns 'test/egress/'
node --import tsx test/egress/report.ts
npx prettier --log-level warn --write test/egress/README.md
