#!/usr/bin/env bash
# Clones the owner's repository into the workspace, once in the life of the workspace.
#
# REPOSITORY_BASE64, REF_BASE64  what to clone and check out, base64 so that no character can leave its place
# WORKSPACE_DIR                  where the clone goes, as a folder named after the repository
# CLONE_STATE_DIR                where the mark "already cloned" is kept; only the worker can write there
# CLONE_RETRY_SECONDS            pause before the second try, doubled before the third; default 5
#
# The clone is made where the agent cannot reach, then copied: a repository under the agent's hands can make git
# execute anything. For the same reason nothing here runs git in a folder that already exists.
set -euo pipefail

fail() {
  printf 'clone: %s\n' "$1" >&2
  exit 1
}

repository=$(printf '%s' "${REPOSITORY_BASE64:-}" | base64 -d)
ref=$(printf '%s' "${REF_BASE64:-}" | base64 -d)
workspace=${WORKSPACE_DIR:-/workspace}
state=${CLONE_STATE_DIR:-$HOME/.local/state/outrigger}
pause=${CLONE_RETRY_SECONDS:-5}

if [[ -z $repository ]]; then
  echo 'clone: no repository was chosen; the workspace begins empty.'
  exit 0
fi

case $repository in
  -*) fail 'the repository begins with a dash, which git would read as an option.' ;;
  http://*@* | https://*@*) fail 'the repository holds a user name or token. Remove everything up to the "@".' ;;
esac
case $ref in -*) fail 'the branch begins with a dash, which git would read as an option.' ;; esac

name=${repository%/}
name=${name##*[/:]}
name=${name%.git}
case $name in
  '' | . | .. | .* | *[!A-Za-z0-9._-]*) fail 'the repository has no usable name at its end.' ;;
esac

target=$workspace/$name
mark=$state/cloned-$name
if [[ -e $target || -L $target ]]; then
  echo "clone: $target exists and is left alone."
  exit 0
fi
if [[ -e $mark ]]; then
  echo "clone: $name was cloned before and then removed. To clone it again, delete $mark and restart."
  exit 0
fi

command -v git >/dev/null 2>&1 || fail 'there is no git in this image.'
mkdir -p "$state"
private=$(mktemp -d "$state/clone.XXXXXX")
incoming=
trap 'rm -rf "$private" ${incoming:+"$incoming"}' EXIT

git_quietly() {
  GIT_TERMINAL_PROMPT=0 git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c protocol.ext.allow=never "$@"
}

for try in 1 2 3; do
  rm -rf "$private/tree"
  if git_quietly clone --no-recurse-submodules -- "$repository" "$private/tree"; then break; fi
  if [[ $try == 3 ]]; then fail 'three tries failed; the lines above say why.'; fi
  echo "clone: try $try failed; trying again in $pause s."
  sleep "$pause"
  pause=$((pause * 2))
done

if [[ -n $ref ]]; then
  git_quietly -C "$private/tree" checkout "$ref" -- || fail "there is no branch, tag or commit \"$ref\" in the repository."
fi

incoming=$(mktemp -d "$workspace/.incoming.XXXXXX")
cp -a "$private/tree/." "$incoming/"
mv -T "$incoming" "$target"
incoming=
chmod 0775 "$target"
: >"$mark"
echo "clone: $name is in $target."
