#!/bin/sh
# Puts node, npm and bun of ./npm/package-lock.json under /out/usr/local. Needs an older npm, which Debian has.
set -eu

cd "$(dirname "$0")/npm"
npm ci --ignore-scripts --no-fund --no-audit --omit=dev
# npm leaves out what was made for another machine, and does not mind when nothing is left.
node=$(echo node_modules/node-linux-*)
bun=$(echo node_modules/@oven/bun-linux-*)
[ -x "$node/bin/node" ] || { echo "npm has no node for $(uname -m)." >&2; exit 1; }
[ -x "$bun/bin/bun" ] || { echo "npm has no bun for $(uname -m)." >&2; exit 1; }

to=/out/usr/local
mkdir -p "$to/bin" "$to/include" "$to/lib/node_modules"
cp "$node/bin/node" "$bun/bin/bun" "$to/bin/"
chmod 0755 "$to/bin/node" "$to/bin/bun"
cp -r "$node/include/node" "$to/include/node"
cp -r node_modules/npm "$to/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$to/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$to/bin/npx"
