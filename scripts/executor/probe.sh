# Runs inside an image and says what is there, one `name=value` on a line. It uses nothing that a shell does not have
# itself, because the image may have nothing else.
has() { command -v "$1" >/dev/null 2>&1; }

echo "shell=here"
# The user id without a program that may be missing.
while read -r name id _; do
  [ "$name" = Uid: ] && echo "uid=$id"
  [ "$name" = Gid: ] && echo "gid=$id"
done </proc/self/status

for tool in bash sh git base64 sha256sum sed grep mkdir cp mv rm mktemp cat curl wget zsh find; do
  has "$tool" && echo "tool.$tool=$(command -v "$tool")"
done
[ -n "${SHELL:-}" ] && [ -x "$SHELL" ] && echo "shell_exists=yes"
[ -s /etc/ssl/certs/ca-certificates.crt ] || [ -s /etc/ssl/cert.pem ] && echo "certificates=yes"

for file in /lib/ld-musl-*; do [ -e "$file" ] && echo "musl=$file"; done
for file in /lib64/ld-linux-*.so* /lib/ld-linux-*.so*; do [ -e "$file" ] && echo "glibc=$file"; done

# A folder that exists and takes a file.
writable() {
  [ -d "$2" ] || { echo "$1=missing"; return; }
  if (: >"$2/.outrigger-doctor") 2>/dev/null; then
    rm -f "$2/.outrigger-doctor" 2>/dev/null
    echo "$1=writable"
  else
    echo "$1=refused"
    has stat && echo "$1.owner=$(stat -c '%u:%g %a' "$2" 2>/dev/null)"
  fi
}
writable workspace "${WORKSPACE_DIR:-/workspace}"
writable home "${HOME:-/nonexistent}"
writable tmp /tmp

for file in /tools/* /tools/.[!.]*; do
  [ -e "$file" ] || [ -L "$file" ] && { echo "tools_holds=$file"; break; }
done

# The sticky bit makes a shared folder such as /tmp safe: nobody takes another's file away.
has find && find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o -type d -perm -0002 ! -perm -1000 -print 2>/dev/null |
  while read -r folder; do echo "world_writable=$folder"; done
echo "probe=done"
