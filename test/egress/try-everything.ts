import { allowedAnswer, at, ports } from './addresses.ts';
import { get, inTunnel, tlsInTunnel, toProxy } from './tools.ts';
import { rebind, ways, type Way } from './ways.ts';

/** Runs in the workspace's namespace and prints what came of each: JSON `{allowed, tried}`. */

/** What must work, or a failure of everything would look like safety. */
const permitted: readonly (readonly [name: string, go: () => Promise<string>])[] = [
  ['TLS in a tunnel', () => tlsInTunnel('allowed.example:443', 'allowed.example', get('allowed.example', '/'))],
  [
    'TLS in a tunnel, written in capitals',
    () => tlsInTunnel('ALLOWED.example:443', 'allowed.example', get('allowed.example', '/')),
  ],
  [
    'a name below an allowed one',
    () => tlsInTunnel('other.allowed.example:443', 'other.allowed.example', get('x', '/')),
  ],
  ['a plain request', () => toProxy(get('allowed.example', 'http://allowed.example/'))],
  ['a plain request over IPv6', () => toProxy(get('six.allowed.example', 'http://six.allowed.example/'))],
  ['a name in punycode', () => toProxy(get('xn--bcher-kva.example', 'http://xn--bcher-kva.example/'))],
  [
    'a body in chunks',
    () =>
      toProxy(
        'POST http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      ),
  ],
  ['a plain request in a tunnel', () => inTunnel('allowed.example:80', get('allowed.example', '/'))],
  [
    'a WebSocket in a plain tunnel',
    () =>
      inTunnel(
        `outrigger.example:${String(ports.service)}`,
        get(`outrigger.example:${String(ports.service)}`, '/bridge', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'),
      ),
  ],
  [
    'the service',
    () =>
      toProxy(
        get(`outrigger.example:${String(ports.service)}`, `http://outrigger.example:${String(ports.service)}/healthz`),
      ),
  ],
  ['Coder', () => tlsInTunnel('coder.example:443', 'coder.example', get('coder.example', '/'))],
];

const atOnce = 8;

async function inTurn<Item, Made>(
  items: readonly Item[],
  make: (item: Item, index: number) => Promise<Made>,
): Promise<Made[]> {
  const made: Made[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next; index < items.length; index = next) {
      next = index + 1;
      made[index] = await make(items[index] as Item, index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return made;
}

const allowed = await inTurn(permitted, async ([name, go]) => ({ name, works: (await go()).includes(allowedAnswer) }));
const all: readonly Way[] = [
  ...ways,
  { group: 'a name that leads to', name: 'another place by the second time', go: rebind },
];
const tried = await inTurn(process.env['ONLY'] === '' ? all : [], async ({ group, name, go }, index) => {
  const token = `t${String(index).padStart(3, '0')}z`;
  const text = await go(token).catch((error: unknown) => String(error));
  return { group, name, token, text: text.slice(0, 400) };
});
process.stdout.write(JSON.stringify({ at: at.agent, allowed, tried }));
