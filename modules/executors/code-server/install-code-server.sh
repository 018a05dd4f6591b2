#!/bin/sh
# Puts code-server and the Node that it needs into /opt/code-server. Its native parts are built here, against the
# headers of that Node; the headers of another major would give modules that do not load.
set -eu

cp "$(dirname "$0")/package.json" "$(dirname "$0")/package-lock.json" /opt/code-server/
cd /opt/code-server
npm ci --ignore-scripts --no-fund --no-audit --omit=dev
node=$(echo "$PWD"/node_modules/node-linux-*)
[ -x "$node/bin/node" ] || { echo "npm has no node for $(uname -m)." >&2; exit 1; }

export PATH="$node/bin:$PATH" npm_config_nodedir="$node"
npm rebuild --foreground-scripts --no-fund --no-audit
mkdir -p node/bin
mv "$node/bin/node" node/bin/node
rm -rf "$node" /root/.npm /root/.cache
node/bin/node node_modules/code-server/out/node/entry.js --version
