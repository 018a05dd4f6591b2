#!/bin/sh
# Joins the session of the attempt that runs in this workspace.
#
# OUTRIGGER_HARNESS_KEY  from which each attempt's password derives; set by the template
# OUTRIGGER_RUN_DIR      where the sidecar tells its state; default /run/outrigger
#
# The state is JSON with `state`, `task_id`, `attempt`, and where they are known `port` and `session_id`. What the
# sidecar writes is hostile input: only ids, numbers and words of a fixed shape are taken from it, and only from a small
# file that is no link, which is read once, so that all of it speaks of the same attempt.
set -eu

state=${OUTRIGGER_RUN_DIR:-/run/outrigger}/status.json
facts=
if [ -f "$state" ] && [ ! -L "$state" ]; then
  # What `git` holds are names that others chose. It is the only object in there, so it ends at its first brace; a
  # brace in a branch's name leaves a rest that no fact is read from, because quotes in it are escaped.
  facts=$(head -c 16384 "$state" 2>/dev/null | tr -d '\000' | sed 's/"git" *: *{[^}]*}//') || facts=
fi

text() {
  printf '%s\n' "$facts" | sed -n "s/.*\"$1\" *: *\"\($2\)\".*/\1/p" | head -n 1
}

number() {
  printf '%s\n' "$facts" | sed -n "s/.*\"$1\" *: *\([0-9]\{1,6\}\) *\([,}].*\)*\$/\1/p" | head -n 1
}

task=$(text task_id '[0-9a-f-]\{36\}')
attempt=$(number attempt)
if [ -z "$task" ] || [ -z "$attempt" ]; then
  echo 'No task runs in this workspace right now. Start one in Outrigger, then open this again.'
  exit 1
fi
# Without a harness of this attempt, whoever listens at the port instead would be given its password.
case $(text state '[a-z]\{1,16\}') in
  starting)
    echo 'OpenCode is still starting. Open this again in a moment.'
    exit 1
    ;;
  finishing)
    echo 'OpenCode has ended and its work is being checked. Watch the task in Outrigger.'
    exit 1
    ;;
esac
if [ -z "${OUTRIGGER_HARNESS_KEY:-}" ]; then
  echo 'OUTRIGGER_HARNESS_KEY is not set, so the session cannot be joined. Open this from a terminal of the workspace.' >&2
  exit 2
fi

# printf is part of the shell: the key appears in no argument list.
OPENCODE_SERVER_PASSWORD=$(printf '%s:%s:%s' "$OUTRIGGER_HARNESS_KEY" "$task" "$attempt" | sha256sum | cut -c 1-64)
export OPENCODE_SERVER_PASSWORD
port=$(number port)
session=$(text session_id 'ses_[0-9A-Za-z]\{1,64\}')
# The runtime loads settings of the folder it starts in, and Coder starts this in the repository.
cd /
exec "${TOOLS_DIR:-/tools}/opencode" attach "http://127.0.0.1:${port:-4096}" ${session:+--session "$session"}
