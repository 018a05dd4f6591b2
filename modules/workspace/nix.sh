#!/bin/sh
# Takes up a workspace.nix: computes its environment and keeps it where `enter` and new shells find it.
#
# Written in front of this script, base64:
#   NIX_CONFIG_BASE64    text of the owner's own workspace.nix; it wins over the repository's
#   FOLDER_BASE64        the repository's folder, or the workspace
# Environment:
#   WORKSPACE_DIR        gets .outrigger/workspace.nix, the text that is in use, beside every repository; nothing reads it
#   OUTRIGGER_NIX_DIR    Nix's store: gets var/outrigger/environment.json, from which the bridge takes the environment of
#                        the agent's tools. Nobody but the worker can write there. Empty: nobody is told
#   NIX_STATE_DIR        the text, its environment (`nix-env`), and what clone.sh noted; only the worker can write there
#   NIX_WAIT_SECONDS     how long the clone may take, which runs at the same time; default 900
#   TOOLS_DIR            where OpenCode lies, whose runtime reads Nix's answer; default /tools
#
# Evaluating the file runs what it names. In the worker the repository's file is therefore taken as it was when the
# repository was cloned: what the agent writes into it later counts only when the person copies it. Its shellHook is
# not run. Nothing here fails a start: without a usable file the workspace is as the image made it.
# Nix reads settings from a variable NIX_CONFIG, so the text is never called that: WORKSPACE_NIX holds it, and
# WORKSPACE_NIX_FILE its path.
set -eu
unset NIX_CONFIG

say() {
  printf 'nix: %s\n' "$1"
}

workspace=${WORKSPACE_DIR:-/workspace}
state=${NIX_STATE_DIR:-$HOME/.local/state/outrigger}
tools=${TOOLS_DIR:-/tools}
folder=$(printf '%s' "${FOLDER_BASE64:-}" | base64 -d)
theirs=$folder/workspace.nix
kept=$state/repository.nix
used=$state/workspace.nix

# The bridge waits for this file, whatever comes of it. OUTRIGGER_NIX_DIR is the worker's own, so no link is in the way.
hand_over() {
  [ -n "${OUTRIGGER_NIX_DIR:-}" ] || return 0
  told=$OUTRIGGER_NIX_DIR/var/outrigger
  { mkdir -p "$told" && cp "$1" "$told/.new" && mv -f "$told/.new" "$told/environment.json"; } 2>/dev/null ||
    say "$told cannot be written, so the agent has none of these tools."
}

finish() {
  [ -z "$scratch" ] || rm -rf "$scratch"
  [ -e "${OUTRIGGER_NIX_DIR:-/}/var/outrigger/environment.json" ] || hand_over /dev/null
}

give_up() {
  rm -f "$state/nix-env"
  say "$1"
  exit 0
}

# As clone.sh notes it: a hash of the token, which is another one at each start.
have_clones_ended() {
  [ -n "${CODER_AGENT_TOKEN:-}" ] && [ -f "$state/clone-ended" ] &&
    [ "$(cat "$state/clone-ended")" = "$(printf 'clone:%s' "$CODER_AGENT_TOKEN" | sha256sum | cut -c 1-64)" ]
}

# The clone runs beside this script and leaves a mark when it is done, and another when it ended however it went.
wait_for_clone() {
  left=${NIX_WAIT_SECONDS:-900}
  until [ -e "$state/cloned-${folder##*/}" ] || [ -e "$folder" ] || have_clones_ended || [ "$left" -le 0 ]; do
    sleep 1
    left=$((left - 1))
  done
}

# Puts the text in place as $used; fails when there is none.
choose() {
  if [ -n "${NIX_CONFIG_BASE64:-}" ]; then
    printf '%s' "$NIX_CONFIG_BASE64" | base64 -d >"$used.new"
    mv -f "$used.new" "$used"
    origin='the parameter nix_config'
    return
  fi
  if [ -n "$folder" ] && [ "$folder" != "$workspace" ]; then wait_for_clone; fi
  origin="the repository's workspace.nix"
  # The agent may put a FIFO in its place meanwhile.
  if [ -f "$theirs" ] && [ ! -L "$theirs" ] && ! timeout 10 cmp -s "$theirs" "$kept"; then
    say "the workspace.nix in $folder is not the one that was cloned, and the agent may have written it. To use it, read it, then: cp $theirs $kept"
  fi
  [ -f "$kept" ] || return 1
  cp "$kept" "$used"
}

# Writes a file that was not there before and gives it its name; opens, follows and awaits nothing that is there. A
# shell cannot: its noclobber opens a FIFO, and a device behind a link.
as_shown='
  const { closeSync, fchmodSync, openSync, readFileSync, renameSync, unlinkSync, writeFileSync } = require("node:fs");
  const folder = "/proc/self/fd/0/";
  const copy = folder + ".nix." + crypto.randomUUID();
  const file = openSync(copy, "wx", 0o644);
  try {
    fchmodSync(file, 0o644);
    writeFileSync(file, readFileSync(process.env.SHOWN_TEXT));
    closeSync(file);
    renameSync(copy, folder + process.env.SHOWN_NAME);
  } catch (error) {
    unlinkSync(copy);
    throw error;
  }
'

# Shows a file to people and the agent, who may put anything in its way at any moment: the folder is entered once and
# looked at from inside, and the runtime, which obeys settings of the folder it is started in, gets it as its input.
# publish FILE NAME
publish() (
  mkdir -p "$workspace/.outrigger" &&
    expected=$(cd "$workspace" && pwd -P)/.outrigger &&
    cd -P "$workspace/.outrigger" && [ "$(pwd -P)" = "$expected" ] &&
    { cd / && SHOWN_TEXT=$1 SHOWN_NAME=$2 BUN_BE_BUN=1 timeout 60 "$tools/opencode" -e "$as_shown"; } <.
) 2>/dev/null

show() {
  shown=$workspace/.outrigger/workspace.nix
  if ! publish "$used" workspace.nix; then
    say "$workspace/.outrigger is no folder that can be written, so the text is only in $used."
    shown=$used
  fi
}

warn_of_old_parts() {
  for part in $(grep -v '^[[:space:]]*#' "$used" | grep -o -E 'nodejs[-_](4|6|8|9|1[0-9])(_x)?([^0-9A-Za-z_]|$)' | tr -d -c 'a-z0-9_\n-' | sort -u); do
    say "warning: $part is at its end of life and gets no more fixes. Use nodejs_22 or newer."
  done
}

# Nix's answer as lines that every shell can read. A name that would change how the person's own programs start, or
# where they keep their things, is left out.
# shellcheck disable=SC2016
as_shell_lines='
  const { WORKSPACE_NIX: text, WORKSPACE_NIX_FILE: file } = process.env;
  const { variables } = JSON.parse(await Bun.stdin.text());
  const kept = /^(HOME|USER|LOGNAME|SHELL|TERM|TZ|PWD|OLDPWD|SHLVL|LANG|TMP|TMPDIR|TEMP|TEMPDIR|ENV|SHELLOPTS|BASHOPTS|PS[0-4]|PROMPT_COMMAND|IFS|shellHook|[A-Z_]*SSL_CERT_FILE|NIX_(CONFIG|BUILD_TOP|LOG_FD|REMOTE|PATH)|NODE_OPTIONS|(BASH|LD|GIT|SSH|CODER|OUTRIGGER|BUN|OPENCODE|WORKSPACE|TOOLS)_.*|.*_(proxy|PROXY))$/;
  const quoted = (value) => "\u0027" + value.replaceAll("\u0027", "\u0027\\\u0027\u0027") + "\u0027";
  const path = (variables.PATH?.value ?? "").split(":").filter((folder) => folder.startsWith("/"));
  if (path.length === 0) throw new Error("no PATH");
  const lines = [
    "[ -d " + quoted(path[0]) + " ] || return 0",
    "case \":$PATH:\" in *:" + quoted(path.join(":")) + ":*) ;; *) PATH=\"${TOOLS_DIR:-/tools}\":" + quoted(path.join(":")) + ":$PATH ;; esac",
    "export PATH WORKSPACE_NIX=" + quoted(text) + " WORKSPACE_NIX_FILE=" + quoted(file),
  ];
  const told = { WORKSPACE_NIX: text, WORKSPACE_NIX_FILE: file };
  for (const [name, { type, value }] of Object.entries(variables)) {
    if (type !== "exported" || name === "PATH" || kept.test(name) || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) continue;
    told[name] = value;
    lines.push("export " + name + "=" + quoted(value));
  }
  await Bun.write(process.env.TOLD, JSON.stringify({ path, variables: told }));
  console.log(lines.join("\n"));
'

# The first line of what went wrong, without what a terminal would obey.
reason() {
  sed -n 's/^[[:space:]]*error: *//p' "$1" | grep . | tail -n 1 | tr -d '[:cntrl:]' | cut -c 1-300 | sed 's/[;:. ]*$//'
}

compute() {
  scratch=$(mktemp -d "$state/nix.XXXXXX")
  if ! nix --extra-experimental-features nix-command print-dev-env --json --file "$used" \
    >"$scratch/answer" 2>"$scratch/errors" </dev/null; then
    why=$(reason "$scratch/errors")
    give_up "$origin cannot be used: ${why:-Nix gave no reason}. The workspace starts without it."
  fi
  # The runtime obeys settings of the folder it is started in.
  if ! (cd / && WORKSPACE_NIX=$(cat "$used") WORKSPACE_NIX_FILE=$shown TOLD=$scratch/told BUN_BE_BUN=1 "$tools/opencode" -e "$as_shell_lines") \
    <"$scratch/answer" >"$scratch/nix-env" 2>/dev/null; then
    give_up "$origin was computed, but Nix's answer could not be read. The workspace starts without it."
  fi
  mv -f "$scratch/nix-env" "$state/nix-env"
  hand_over "$scratch/told"
}

# Once, so that whoever takes the line out again is left in peace.
tell_shells() {
  [ ! -e "$state/nix-shells" ] || return 0
  for file in .profile .bashrc .zshenv; do
    # shellcheck disable=SC2016
    printf '\n[ ! -r "$HOME/.local/state/outrigger/nix-env" ] || . "$HOME/.local/state/outrigger/nix-env"\n' >>"$HOME/$file"
  done
  : >"$state/nix-shells"
}

mkdir -p "$state"
scratch=
[ -z "${OUTRIGGER_NIX_DIR:-}" ] || rm -f "$OUTRIGGER_NIX_DIR/var/outrigger/environment.json" || true
trap finish EXIT
trap 'exit 143' INT TERM
if ! command -v nix >/dev/null 2>&1; then
  [ -n "${NIX_CONFIG_BASE64:-}" ] || exit 0
  give_up 'there is no nix in this image, so nix_config is not used. Choose an image that has it.'
fi
choose || give_up 'there is no workspace.nix; the workspace is as its image made it.'
show
warn_of_old_parts
say "computing the environment of $origin ..."
compute
tell_shells
say "the environment of $origin is in force in every new shell."
