#!/bin/sh
# Installs every .vsix of a folder with the IDE's own command and without any network, then makes them part of the IDE:
# everybody has them, whatever folder of extensions the IDE is started with.
set -eu

builtin=/opt/code-server/node_modules/code-server/lib/vscode/extensions
export HOME=/tmp
for file in "$1"/*.vsix; do
  [ -e "$file" ] || continue
  sh /build/code-server/code-server.sh --user-data-dir /tmp/user-data --extensions-dir /tmp/extensions --install-extension "$file"
done
for extension in /tmp/extensions/*/; do
  [ -d "$extension" ] && cp -r "$extension" "$builtin/"
done
chmod -R a+rX,go-w /opt/code-server
