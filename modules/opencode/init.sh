#!/bin/sh
# Fills /tools from this image, once for each version of it, and the admin's certificates at every start. It is the
# only writer of both: everybody else mounts them read-only.
#
# TOOLS_DIR                   where the tools go; default /tools
# CUSTOM_CA_DIR               where tls.crt goes, if that folder exists; default /etc/ssl/certs/custom-ca
# OUTRIGGER_CUSTOM_CA_BASE64  certificates in PEM form, base64; empty removes what an earlier start left
# WORKSPACE_DIR               gets its usual folders; default /workspace
# OUTRIGGER_NIX_DIR           Nix's store, where the image has Nix; default /nix
# WORKER_HOME                 the person's home folder; default /home/coder
set -eu

source=$(cd "$(dirname "$0")" && pwd)
tools=${TOOLS_DIR:-/tools}
certificates=${CUSTOM_CA_DIR:-/etc/ssl/certs/custom-ca}
workspace=${WORKSPACE_DIR:-/workspace}

fail() {
  printf 'opencode-init: %s\n' "$1" >&2
  exit 1
}

# A tool is moved into place whole, so that a start that is cut short never leaves half of one.
put() {
  cp "$source/$1" "$tools/.new"
  chmod "$2" "$tools/.new"
  mv -f "$tools/.new" "$tools/$1"
}

fill_tools() {
  if cmp -s "$source/version" "$tools/.version"; then
    echo "opencode-init: $tools is up to date."
    return
  fi
  rm -f "$tools/.new" "$tools/.version"
  # Without read permission the kernel hides the environment of a running OpenCode from everybody else of its user.
  put opencode 0111
  put rg 0555
  put attach 0555
  put enter 0555
  put runtime-proof 0555
  put bridge.js 0444
  put helper.js 0444
  put egress.js 0444
  put opencode.json 0444
  put tui.json 0444
  cp "$source/version" "$tools/.version"
  echo "opencode-init: $tools is filled."
}

fill_certificates() {
  [ -d "$certificates" ] || return 0
  if [ -z "${OUTRIGGER_CUSTOM_CA_BASE64:-}" ]; then
    rm -f "$certificates/tls.crt"
    return 0
  fi
  new=$certificates/.new
  rm -f "$new"
  printf '%s' "$OUTRIGGER_CUSTOM_CA_BASE64" | base64 -d >"$new" || fail 'the custom certificates are not base64.'
  # Everybody in the workspace reads this file.
  if grep -q 'PRIVATE KEY' "$new"; then
    rm -f "$new"
    fail 'custom_ca holds a private key. Give certificates only, and replace that key: it has been in the build.'
  fi
  if ! grep -q -e '-----BEGIN CERTIFICATE-----' "$new"; then
    rm -f "$new"
    fail 'custom_ca holds no certificate in PEM form. It begins with -----BEGIN CERTIFICATE-----.'
  fi
  chmod 0444 "$new"
  mv -f "$new" "$certificates/tls.crt"
  echo "opencode-init: $certificates/tls.crt is written."
}

# The workspace is the agent's to write, so whatever lies in the way of a folder is left there.
make_folders() {
  [ -d "$workspace" ] && [ -w "$workspace" ] || return 0
  for name in repos workflows artifacts file-uploads; do
    mkdir -m 0775 "$workspace/$name" 2>/dev/null || true
  done
}

# Volumes that are kept hold what the last start computed. Who waits for this start's would take the one, and `enter`
# the other, though this start may have no workspace.nix. Nothing is removed but what has these names.
forget_nix() {
  rm -f "${OUTRIGGER_NIX_DIR:-/nix}/var/outrigger/environment.json" || true
  rm -f "${WORKER_HOME:-/home/coder}/.local/state/outrigger/nix-env" || true
}

fill_tools
fill_certificates
make_folders
forget_nix
