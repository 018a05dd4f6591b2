#!/bin/sh
# code-server with the Node that it was built for, whatever `node` is in PATH.
exec /opt/code-server/node/bin/node /opt/code-server/node_modules/code-server/out/node/entry.js "$@"
