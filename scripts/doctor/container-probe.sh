# Runs inside a container of a workspace, as its user, and says what is there, one `name=value` on a line. What only the
# agent has is asked for where the bridge's own environment is.
has() { command -v "$1" >/dev/null 2>&1; }

while read -r name id _; do
  [ "$name" = Uid: ] && echo "uid=$id"
  [ "$name" = Gid: ] && echo "gid=$id"
done </proc/self/status

# The agent writes the folder too: at a name that it knows there may be a link to a file of the person, or a pipe that
# nobody reads. Neither way here opens what is there already.
takes_file() {
  if has mktemp; then
    file=$(mktemp "$1/.outrigger-doctor.XXXXXX") && rm -f "$file"
  else
    mkdir "$1/.outrigger-doctor.$$" && rmdir "$1/.outrigger-doctor.$$"
  fi
}

# A folder that exists and takes a file.
writable() {
  echo "$1.path=$2"
  if [ ! -d "$2" ]; then
    echo "$1=missing"
  elif takes_file "$2" 2>/dev/null; then
    echo "$1=writable"
  else
    echo "$1=refused"
    has stat && echo "$1.owner=$(stat -c '%u:%g %a' "$2" 2>/dev/null)"
  fi
}
writable workspace "${WORKSPACE_DIR:-/workspace}"
# Under an arbitrary user the home folder is /tmp, and the sidecar has no other.
home=${HOME:-/home/coder}
if [ -d "$home" ] && [ -w "$home" ]; then writable home "$home"; else writable home /tmp; fi
[ -z "${OUTRIGGER_PROOF:-}" ] || writable agent "${OUTRIGGER_AGENT_DIR:-/var/lib/outrigger-agent}"

tools=${TOOLS_DIR:-/tools}
while read -r _ place _ options _; do
  [ "$place" = "$tools" ] && echo "tools_mount=$options"
done </proc/mounts
for file in opencode rg bridge.js helper.js enter; do
  [ -e "$tools/$file" ] || echo "tools_missing=$file"
done
# Through the wrapper, which finds a home folder for it.
if opencode=$("$tools/enter" "$tools/opencode" --version 2>&1); then
  echo "opencode=$opencode"
else
  printf 'opencode_fails=%s\n' "$opencode"
fi

for tool in sh bash git base64 sha256sum sed grep mkdir cp mv rm mktemp cat curl wget; do
  has "$tool" && echo "tool.$tool=yes"
done

# OpenCode listens on a port that its command line names; 4096 is the one that people expect.
listening=4096
for process in /proc/[0-9]*; do
  words=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline") || continue
  case $words in
    *"/bridge.js "*) echo "bridge=here" ;;
    *"serve --port "*)
      port=${words#*serve --port }
      case " $listening " in
        *" ${port%% *} "*) ;;
        *) listening="$listening ${port%% *}" ;;
      esac
      ;;
  esac
done
for port in $listening; do
  hex=$(printf '%04X' "$port" 2>/dev/null) || continue
  while read -r _ address _ state _; do
    [ "$state" = 0A ] && [ "${address##*:}" = "$hex" ] && echo "listens=$port ${address%:*}"
  done <<EOF
$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
EOF
  if has bash && has timeout; then
    answer=$(timeout 25 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET /session HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && read -r -t 20 line <&3; [ -z "$line" ] || echo "$line"; [ -e /dev/fd/3 ]' - "$port" 2>/dev/null) &&
      echo "answers=$port ${answer:-accepts connections}"
  fi
done

# As the bridge sees it: its certificates and its proxies.
reach() {
  [ -x "$tools/enter" ] || return 0
  # shellcheck disable=SC2016 -- JavaScript, not the shell's
  "$tools/enter" env BUN_BE_BUN=1 "$tools/opencode" -e '
    const [name, url] = process.argv.slice(-2);
    fetch(url, { redirect: "manual", signal: AbortSignal.timeout(10000) })
      .then((answer) => console.log(`${name}=${answer.status}`))
      .catch((error) => console.log(`${name}_error=${String(error.code ?? error.name).replace(/\s+/g, " ")}`));
  ' "$1" "$2" 2>/dev/null
}
if [ -n "${OUTRIGGER_PROOF:-}" ] && [ -n "${OUTRIGGER_URL:-}" ]; then
  echo "service_url=$OUTRIGGER_URL"
  reach service "$OUTRIGGER_URL/readyz"
  reach gateway "$OUTRIGGER_URL/llm/v1/models"
fi
echo "probe=done"
