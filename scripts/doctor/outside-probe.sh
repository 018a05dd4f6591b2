# Runs in another container of the same network: $1 is the workspace's address, the rest are ports.
address=$1
shift
for port; do
  answer=$(timeout 25 bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "GET /session HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && read -r -t 20 line <&3; [ -z "$line" ] || echo "$line"; [ -e /dev/fd/3 ]' - "$address" "$port" 2>/dev/null) &&
    echo "outside=$port ${answer:-accepts connections}"
done
echo "probe=done"
