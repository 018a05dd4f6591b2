#!/bin/sh
# Makes whatever image a place to work in, then becomes the command it is given: /tools/enter CMD [ARGUMENT…]
#
# HOME                 kept when it can be written, else /tmp, as under an arbitrary user id; default /home/coder
# TOOLS_DIR            comes first in PATH; default /tools
# WORKSPACE_DIR        default /workspace; WORKSPACE_PATH says the same
# CUSTOM_CA_CERT_PATH  PEM file that is trusted beside the image's own certificates
# HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY  in either case; empty counts as not set
# OUTRIGGER_EGRESS_PROXIED  not empty: the cluster's own names go through the proxy too
#
# Only what every sh can do, and no program of the image but those that join certificates: the root may be read-only,
# the user unknown, and PATH anything.
set -eu

say() {
  printf 'enter: %s\n' "$1" >&2
}

if [ $# -eq 0 ]; then
  say 'no command was given. Use: enter COMMAND [ARGUMENT…]'
  exit 2
fi

# ---------------------------------------------------------------- places

tools=${TOOLS_DIR:-/tools}
export TOOLS_DIR="$tools"
export WORKSPACE_DIR="${WORKSPACE_DIR:-/workspace}"
export WORKSPACE_PATH="$WORKSPACE_DIR"

# Without a passwd entry a container runtime sets HOME to / .
case ${HOME:-/} in /) HOME=/home/coder ;; esac
if [ -d "$HOME" ] && [ -w "$HOME" ] && [ -x "$HOME" ]; then
  GOPATH=$HOME/go
  GOMODCACHE=$HOME/go/pkg/mod
else
  HOME=/tmp
  GOPATH=/tmp/.go
  GOMODCACHE=/tmp/.gomodcache
fi
export HOME GOPATH GOMODCACHE

for shell in /bin/zsh /usr/bin/zsh /bin/bash /usr/bin/bash /bin/sh; do
  [ ! -x "$shell" ] || break
done
export SHELL="$shell"

put_tools_first() {
  case ${PATH:-}: in
    "$tools":*) ;;
    *) PATH=$tools:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin} ;;
  esac
  export PATH
}
put_tools_first

# ---------------------------------------------------------------- certificates

# Programs read one file only, so the image's own certificates are copied in front.
trust() {
  if ! grep -q -e '-----BEGIN CERTIFICATE-----' "$CUSTOM_CA_CERT_PATH"; then
    say "$CUSTOM_CA_CERT_PATH holds no certificate in PEM form, so only the image's own are trusted."
    return
  fi
  place=$(mktemp -d "${TMPDIR:-/tmp}/outrigger-ca.XXXXXX") || {
    say "no file can be made in ${TMPDIR:-/tmp}, so only the image's own certificates are trusted."
    return
  }
  bundle=$place/bundle.pem
  : >"$bundle"
  for own in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
    /etc/ssl/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    if [ -n "$own" ] && [ -f "$own" ] && [ -r "$own" ]; then
      cat "$own" >>"$bundle"
      break
    fi
  done
  # Neither file need end in a newline.
  { echo && cat "$CUSTOM_CA_CERT_PATH" && echo; } >>"$bundle"
  export OUTRIGGER_CA_BUNDLE="$bundle" SSL_CERT_FILE="$bundle" GIT_SSL_CAINFO="$bundle" CURL_CA_BUNDLE="$bundle"
  export REQUESTS_CA_BUNDLE="$bundle" NODE_EXTRA_CA_CERTS="$bundle" NIX_SSL_CERT_FILE="$bundle"
}

# A shell inside a shell keeps the file of the outer one.
if [ -r "${CUSTOM_CA_CERT_PATH:-}" ] && [ -f "$CUSTOM_CA_CERT_PATH" ]; then
  if [ -z "${OUTRIGGER_CA_BUNDLE:-}" ] || [ ! -r "$OUTRIGGER_CA_BUNDLE" ]; then trust; fi
fi

# ---------------------------------------------------------------- proxies

# Gives both spellings the same value; the upper one wins. No value, no variable: some programs take an empty one for
# an address.
spell_both() {
  eval "value=\${$1:-\${$2:-}}"
  if [ -n "$value" ]; then export "$1=$value" "$2=$value"; else unset "$1" "$2"; fi
}
spell_both HTTP_PROXY http_proxy
spell_both HTTPS_PROXY https_proxy
spell_both ALL_PROXY all_proxy

if [ -n "${HTTP_PROXY:-}${HTTPS_PROXY:-}${ALL_PROXY:-}" ]; then
  direct=${NO_PROXY:-${no_proxy:-}}
  # Where the network leads to the proxy alone, even a service of the cluster is reached through it.
  local='localhost 127.0.0.1 ::1'
  [ -n "${OUTRIGGER_EGRESS_PROXIED:-}" ] || local="$local .svc .cluster.local"
  for host in $local; do
    case ,$direct, in
      *,"$host",*) ;;
      *) direct=${direct:+$direct,}$host ;;
    esac
  done
  NO_PROXY=$direct
fi
spell_both NO_PROXY no_proxy

# ---------------------------------------------------------------- the environment of workspace.nix

# The bridge alone holds the proof, and its home is the agent's to write: what lies there must not reach it.
nix=$HOME/.local/state/outrigger/nix-env
if [ -z "${OUTRIGGER_PROOF:-}" ] && [ -f "$nix" ] && [ -r "$nix" ]; then
  # shellcheck source=/dev/null
  . "$nix"
  put_tools_first
fi

# ---------------------------------------------------------------- the command

# OpenCode is built for glibc. Where its loader is missing the kernel only says "not found" about a file that is there.
if [ "$(command -v "$1" || true)" = "$tools/opencode" ] &&
  [ ! -e /lib64/ld-linux-x86-64.so.2 ] && [ ! -e /lib/ld-linux-aarch64.so.1 ]; then
  say 'OpenCode needs glibc, and this image has none (it uses musl, as Alpine does). Choose an image made from Debian, Ubuntu, Fedora or another system with glibc.'
  exit 2
fi

exec "$@"
