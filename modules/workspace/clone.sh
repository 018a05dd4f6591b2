#!/bin/sh
# Clones the owner's repositories into the workspace, each once in the life of the workspace.
#
# Written in front of this script, base64 so that no character can leave its place:
#   REPOSITORY_BASE64, REF_BASE64  what to clone and check out; where they are not set, GIT_REPO (or GITHUB_REPO) and
#                                  GIT_REF are read. No ref, or HEAD, means the remote's default branch
#   REPOS_JSON_BASE64              more of them, optional: [{"url", "name"?, "branch"?}]; not set, REPOS_JSON is read
# Environment:
#   WORKSPACE_DIR                  what worker and agent share; default /workspace
#   GIT_ROOT                       the repository goes to <here>/<name>, each of REPOS_JSON to <here>/repos/<name>; default
#                                  the workspace, else a folder in it
#   GIT_WORKSPACE_DIR              the folder of the repository itself, in place of <GIT_ROOT>/<name>
#   GIT_LINK                       name of a link in GIT_ROOT that leads to the repository
#   WORKSPACE_FOLDER               where the editor and shells begin; gets a link where the repository lies elsewhere
#   MAIN_REPO_NAME, MAIN_REPO_INDEX  without a repository of its own: which of REPOS_JSON takes its place; default 0
#   GIT_DEPTH                      commits of history; default 1, 0 means all
#   GIT_RECURSE_SUBMODULES         "true" clones submodules too
#   GIT_CLONE_RETRIES, GIT_CLONE_RETRY_DELAY  how often it is tried, and seconds between; default 3 and 5s
#   GIT_SSH_KEY                    path of a key that the agent cannot reach; without it Coder's own for the person is taken
#   GIT_SSH_KNOWN_HOSTS            keys of hosts, as text or as the path of such a file; no other host is believed
#   GIT_ASKPASS                    who is asked for a password, at each use; Coder's agent sets it
#   CLONE_STATE_DIR                where the marks "already cloned" are kept; only the worker can write there
#   CODER_AGENT_TOKEN              another one at each start; its hash is kept, so that a second run of a start is known
#   TOOLS_DIR                      where OpenCode lies, which reads the JSON; default /tools
#   GIT_USERNAME, GIT_PASSWORD, GIT_SYNC_INTERVAL  are not used, and it is said what to do instead
#   OUTRIGGER_RUN_DIR              gets the empty file "cloned" at the end, however it ends; default /run/outrigger
#
# A clone is made where the agent cannot reach, then copied: a repository under the agent's hands can make git
# execute anything. For the same reason nothing here runs git in a folder that already exists. The copy itself needs a
# workspace that nobody else writes to: the bridge starts no agent before it sees the file "cloned". From then on there
# may be one for as long as the start lasts, so a worker that begins anew within it copies nothing.
# shellcheck disable=SC2086
set -eu

fail() {
  printf 'clone: %s\n' "$1" >&2
  exit 1
}

decode() {
  printf '%s' "$1" | base64 -d
}

number() {
  case $2 in
    '' | *[!0-9]*) fail "$1 is '$2'. Give a whole number." ;;
  esac
}

run=${OUTRIGGER_RUN_DIR:-/run/outrigger}
state=${CLONE_STATE_DIR:-$HOME/.local/state/outrigger}
ended=$state/clone-ended
build=
if [ -n "${CODER_AGENT_TOKEN:-}" ]; then
  build=$(printf 'clone:%s' "$CODER_AGENT_TOKEN" | sha256sum | cut -c 1-64)
fi

# Kept where the agent can neither make nor remove it; what is told in the shared folder is the agent's to change.
has_ended_before() {
  [ -n "$build" ] && [ -f "$ended" ] && [ "$(cat "$ended")" = "$build" ]
}

remember_ended() {
  [ -z "$build" ] || has_ended_before || { mkdir -p "$state" && printf '%s\n' "$build" >"$ended"; }
}

# Moved into place, because whoever shares the folder could have left a link or a FIFO there.
say_ended() {
  if ! remember_ended 2>/dev/null; then
    echo "clone: $ended cannot be written, so the agent does not learn that it may begin."
  elif ! { sign=$(mktemp "$run/.cloned.XXXXXX") && mv -fT "$sign" "$run/cloned"; } 2>/dev/null; then
    echo "clone: $run cannot be written, so the agent does not learn that it may begin."
  fi
}

trap say_ended EXIT
# Coder ends a script that takes too long by SIGHUP. Not every sh runs what is meant for its exit when a signal ends it.
trap 'exit 143' HUP INT TERM
workspace=${WORKSPACE_DIR:-/workspace}
workspace=${workspace%/}
tools=${TOOLS_DIR:-/tools}
depth=${GIT_DEPTH:-1}
tries=${GIT_CLONE_RETRIES:-3}
pause=${GIT_CLONE_RETRY_DELAY:-5s}
pause=${pause%s}
number GIT_DEPTH "$depth"
number GIT_CLONE_RETRIES "$tries"
number GIT_CLONE_RETRY_DELAY "$pause"
# One word or none, so it is never quoted below.
shallow=
if [ "$depth" -gt 0 ]; then shallow=--depth=$depth; fi

# A trace would write what goes over the wire into the log.
unset GIT_TRACE GIT_TRACE_CURL GIT_TRACE_PACKET GIT_CURL_VERBOSE

# No helper may keep the password that GIT_ASKPASS answers, and nothing can ask at a terminal here.
git_quietly() {
  GIT_TERMINAL_PROMPT=0 git -c credential.helper= -c core.hooksPath=/dev/null -c core.fsmonitor=false \
    -c protocol.ext.allow=never "$@"
}

# A folder of the workspace, told by NAME. inside NAME PATH
inside() {
  case $2/ in
    "$workspace"/*) ;;
    *) fail "$1 is '$2', which the agent does not see. Give $workspace, or a folder in it." ;;
  esac
  case ${2#"$workspace"}/ in
    *[!A-Za-z0-9._/-]* | *//* | */.*) fail "$1 is '$2'. Give a plain path, such as $workspace/src." ;;
  esac
}

# Makes a folder of the workspace. A link on the way could lead out of it.
make_folder() {
  made=$workspace
  rest=${1#"$workspace"}
  while [ -n "$rest" ]; do
    rest=${rest#/}
    made=$made/${rest%%/*}
    [ ! -L "$made" ] || fail "$made is a link and is not followed. Remove it and restart."
    [ -d "$made" ] || mkdir "$made"
    case $rest in */*) rest=/${rest#*/} ;; *) rest= ;; esac
  done
}

# Nothing that is there is replaced. link_to REPOSITORY LINK
link_to() {
  if [ ! -L "$2" ] && [ ! -e "$2" ]; then ln -s "$1" "$2"; fi
}

# Prints the real path of a file that the agent can neither read nor change. own_file NAME PATH
own_file() {
  case $2 in *[!A-Za-z0-9._/-]*) fail "$1 holds characters that a path should not have here. Rename the file." ;; esac
  real=$(readlink -f "$2") && [ -f "$real" ] && [ -r "$real" ] || fail "$1 names $2, and there is no such file to read."
  for shared in "$workspace" "$run"; do
    case $real in "$(readlink -f "$shared")"/*) fail "$1 names $2, which the agent can reach. Keep it in the home folder." ;; esac
  done
  printf '%s' "$real"
}

# Whose key is shown to a host over SSH, and which hosts are believed. A host's key is always checked.
choose_ssh() {
  ssh=${GIT_SSH_COMMAND:-ssh}
  hosts=
  case ${GIT_SSH_KEY:-} in
    '') ;;
    /*) ssh="ssh -i $(own_file GIT_SSH_KEY "$GIT_SSH_KEY") -o IdentitiesOnly=yes" || exit 1 ;;
    *) fail 'GIT_SSH_KEY is no path. A key itself does not belong into an environment, which every program here can read: put it into a file that only you can read, such as /home/coder/.ssh/id_ed25519, and name that.' ;;
  esac
  case ${GIT_SSH_KNOWN_HOSTS:-} in
    '') ;;
    /*) hosts=$(own_file GIT_SSH_KNOWN_HOSTS "$GIT_SSH_KNOWN_HOSTS") || exit 1 ;;
    *)
      mkdir -p "$state"
      hosts=$(readlink -f "$state")/known-hosts
      printf '%s\n' "$GIT_SSH_KNOWN_HOSTS" >"$hosts"
      ;;
  esac
  case $hosts in *[!A-Za-z0-9._/-]*) fail "$hosts holds characters that ssh would read otherwise. Give GIT_SSH_KNOWN_HOSTS as a path." ;; esac
  export GIT_SSH_COMMAND="$ssh -o BatchMode=yes -o StrictHostKeyChecking=yes${hosts:+ -o UserKnownHostsFile=$hosts}"
}

refuse_unsafe() {
  case $is_listed$1 in
    1*[[:space:]]*) fail 'a line of the further repositories is no address. After one, #branch, name=… and autoPush=false may follow.' ;;
  esac
  case $1 in
    -*) fail 'the repository begins with a dash, which git would read as an option.' ;;
    http://*@* | https://*@*) fail 'the repository holds a user name or token. Remove everything up to the "@".' ;;
    http://*[?#]* | https://*[?#]*) fail 'the repository has a "?" or "#" in its address, where tokens are found. Remove everything from there on.' ;;
  esac
  case $2 in -*) fail 'the branch begins with a dash, which git would read as an option.' ;; esac
}

# The last part of the address, or the name that was given.
name_of() {
  name=${2:-${1%/}}
  [ -n "$2" ] || name=${name##*[/:]}
  name=${name%.git}
  case $name in
    '' | .* | *[!A-Za-z0-9._-]*) fail 'the repository has no usable name at its end.' ;;
  esac
}

# Every branch is there with its newest commits; a tag or another commit is fetched when it is asked for.
check_out() {
  ref=$1
  tree=$private/tree
  git_quietly -C "$tree" checkout --quiet "$ref" -- 2>/dev/null && return
  git_quietly -C "$tree" fetch --quiet $shallow origin "refs/tags/$ref:refs/tags/$ref" 2>/dev/null &&
    git_quietly -C "$tree" checkout --quiet "$ref" -- 2>/dev/null && return
  git_quietly -C "$tree" fetch --quiet $shallow origin "$ref" 2>/dev/null &&
    git_quietly -C "$tree" checkout --quiet --detach FETCH_HEAD -- 2>/dev/null && return
  git_quietly -C "$tree" fetch --quiet --unshallow origin 2>/dev/null &&
    git_quietly -C "$tree" checkout --quiet "$ref" -- 2>/dev/null && return
  fail "there is no branch, tag or commit \"$ref\" in the repository."
}

advice() {
  case $1 in
    http://* | https://* | file://* | /*) printf 'If the repository is private, sign in to its host in Coder under external authentication' ;;
    *) printf 'Over SSH, add the public key of your account in Coder to the host, and give the key of the host in GIT_SSH_KNOWN_HOSTS' ;;
  esac
}

download() {
  try=1
  while
    rm -rf "$private/tree"
    ! git_quietly clone --quiet $shallow --no-single-branch --no-recurse-submodules -- "$1" "$private/tree"
  do
    [ "$try" -lt "$tries" ] || fail "$tries tries failed; the lines above say why. $(advice "$1"), then restart the workspace."
    echo "clone: try $try of $tries failed; trying again in $pause s."
    sleep "$pause"
    try=$((try + 1))
  done
}

# Puts the finished tree into place. A link that the agent left there is not followed: mv replaces no link by a folder.
publish() {
  incoming=$(mktemp -d "$workspace/.incoming.XXXXXX")
  cp -a "$private/tree/." "$incoming/"
  chmod 0775 "$incoming"
  mv -T "$incoming" "$1"
  incoming=
}

# clone_one URL REF NAME FOLDER
clone_one() {
  refuse_unsafe "$1" "$2"
  name_of "$1" "$3"
  target=$4/$name
  # No name holds a %, so no two targets share a mark.
  mark=$state/cloned-$(printf '%s' "${target#"$workspace"/}" | tr / %)
  if [ -L "$target" ] || { [ -e "$target" ] && { [ ! -d "$target" ] || [ -n "$(ls -A "$target")" ]; }; }; then
    echo "clone: $target exists and is left alone."
    return
  fi
  if [ -e "$mark" ]; then
    echo "clone: $name was cloned before and then removed. To clone it again, delete $mark and restart."
    return
  fi
  if has_ended_before; then
    fail "$name is not there, and since the clones of this start ended an agent may be at work in $workspace. Restart the workspace in Coder to clone it."
  fi
  command -v git >/dev/null 2>&1 || fail 'there is no git in this image.'
  mkdir -p "$state"
  make_folder "$4"
  private=$(mktemp -d "$state/clone.XXXXXX")
  incoming=
  trap 'rm -rf "$private" ${incoming:+"$incoming"}' EXIT
  trap 'exit 143' HUP INT TERM

  echo "clone: downloading $name ..."
  download "$1"
  if [ -n "$2" ]; then check_out "$2"; fi
  if [ "${GIT_RECURSE_SUBMODULES:-}" = true ]; then
    echo "clone: downloading the submodules of $name ..."
    git_quietly -C "$private/tree" submodule --quiet update --init --recursive $shallow
  fi
  # What nix.sh may trust in the worker is the file as the remote had it, before the agent could change it.
  if [ "$is_main" = 1 ] && [ -f "$private/tree/workspace.nix" ] && [ ! -L "$private/tree/workspace.nix" ]; then
    cp "$private/tree/workspace.nix" "$state/repository.nix"
  fi
  publish "$target"
  : >"$mark"
  echo "clone: $name is in $target."
  if [ "$is_main" = 1 ]; then
    if [ -n "${GIT_LINK:-}" ]; then
      make_folder "$root"
      link_to "$target" "$root/$GIT_LINK"
    fi
    case ${WORKSPACE_FOLDER:-} in "$workspace"/*) [ -L "${WORKSPACE_FOLDER%/*}" ] || link_to "$target" "$WORKSPACE_FOLDER" ;; esac
  fi
}

# One that fails does not keep the others from being there. (In "a || b" a shell ignores set -e inside a.)
failed=0
taken=
is_main=0
is_listed=0
attempt() {
  # An address without a usable name has no target; clone_one refuses it.
  target=$(name_of "$1" "$3" 2>/dev/null && printf '%s/%s' "$4" "$name") || target=
  set +e
  (
    set -e
    case $taken in
      *"<$target>"*) [ -z "$target" ] || fail "two repositories would go to $target, so only the first is cloned. Take one of them off the list." ;;
    esac
    clone_one "$@"
  )
  status=$?
  set -e
  taken="$taken<$target>"
  if [ "$status" -ne 0 ]; then failed=1; fi
}

# Prints a line per repository: url, branch and name in base64, "-" for none. The sh of an image reads no JSON, and
# OpenCode's runtime does; it starts in / because it obeys settings of the folder it is started in.
list_repositories() (
  cd /
  REPOS_JSON_BASE64=${REPOS_JSON_BASE64:-} BUN_BE_BUN=1 "$tools/opencode" -e '
    const { REPOS_JSON_BASE64: encoded, REPOS_JSON: plain } = process.env;
    const list = JSON.parse(encoded ? Buffer.from(encoded, "base64").toString("utf8") : plain);
    const field = (value) => {
      if (value !== undefined && value !== null && typeof value !== "string") throw new TypeError();
      return value ? Buffer.from(value).toString("base64") : "-";
    };
    const lines = list.map(({ url, branch, name }) => {
      if (!url) throw new TypeError();
      return [url, branch, name].map(field).join(" ");
    });
    console.log(lines.join("\n"));' 2>/dev/null
)

field() {
  if [ "$1" != - ]; then decode "$1"; fi
}

root=${GIT_ROOT:-$workspace}
root=${root%/}
inside GIT_ROOT "$root"
case ${GIT_LINK:-} in .* | *[!A-Za-z0-9._-]*) fail "GIT_LINK is '$GIT_LINK'. Give one plain name, such as repo." ;; esac
# The first repository, wherever it is to lie. main_one URL REF NAME
main_one() {
  is_main=1
  if [ -n "${GIT_WORKSPACE_DIR:-}" ]; then
    seen=${GIT_WORKSPACE_DIR%/}
    inside GIT_WORKSPACE_DIR "$seen"
    [ "$seen" != "$workspace" ] || fail "GIT_WORKSPACE_DIR is the workspace itself, which holds other things too. Give a folder in it."
    attempt "$1" "$2" "${seen##*/}" "${seen%/*}"
  else
    attempt "$1" "$2" "$3" "$root"
  fi
  is_main=0
}

[ -z "${GIT_USERNAME:-}${GIT_PASSWORD:-}" ] ||
  echo 'clone: GIT_USERNAME and GIT_PASSWORD are not used, since every program here can read them. Sign in to the host in Coder under external authentication; for the agent, an admin stores a credential in Outrigger.'
unset GIT_USERNAME GIT_PASSWORD
case ${GIT_SYNC_INTERVAL:-0} in
  0) ;;
  *) echo 'clone: GIT_SYNC_INTERVAL is not used: nothing runs git unasked in a repository that an agent can write. Fetch in a terminal, or let a task fetch.' ;;
esac
choose_ssh

if [ -n "${REPOSITORY_BASE64+given}" ]; then repository=$(decode "$REPOSITORY_BASE64"); else repository=${GIT_REPO:-${GITHUB_REPO:-}}; fi
if [ -n "${REF_BASE64+given}" ]; then ref=$(decode "$REF_BASE64"); else ref=${GIT_REF:-}; fi
[ "$ref" != HEAD ] || ref=

if [ -z "$repository" ] && [ -z "${REPOS_JSON_BASE64:-}${REPOS_JSON:-}" ]; then
  echo 'clone: no repository was chosen; the workspace begins empty.'
  exit 0
fi

main=none
if [ -n "$repository" ]; then
  main_one "$repository" "$ref" ''
else
  main=${MAIN_REPO_NAME:-}
fi

if [ -n "${REPOS_JSON_BASE64:-}${REPOS_JSON:-}" ]; then
  lines=$(list_repositories) || fail 'REPOS_JSON is not a list of {"url", "name", "branch"}.'
  index=0
  is_listed=1
  while read -r url branch given; do
    [ -n "$url" ] || continue
    url=$(decode "$url")
    given=$(field "$given")
    branch=$(field "$branch")
    [ "$branch" != HEAD ] || branch=
    put=attempt
    if [ "$main" != none ]; then
      name=$(name_of "$url" "$given" 2>/dev/null && printf '%s' "$name") || name=
      if [ -n "$main" ]; then
        [ "$name" != "$main" ] || put=main_one
      elif [ "$index" = "${MAIN_REPO_INDEX:-0}" ]; then
        put=main_one
      fi
    fi
    "$put" "$url" "$branch" "$given" "$root/repos"
    index=$((index + 1))
  done <<LINES
$lines
LINES
fi
exit "$failed"
