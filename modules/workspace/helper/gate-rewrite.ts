import { timingSafeEqual } from 'node:crypto';
import { followTask } from '../../contract.ts';
import { printHead, valueOf, type Headers, type RequestHead, type ResponseHead } from './gate-head.ts';

/**
 * What the IDE is asked for by this target, which must lie under `/<gatePath>`; null where it does not.
 *
 * Timing   how long the comparison takes says nothing about how much of the path was right.
 */
export function targetBehind(gatePath: string, target: string): string | null {
  const [wanted, given] = [Buffer.from(`/${gatePath}`), Buffer.from(target.slice(0, gatePath.length + 1))];
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return null;
  const rest = target.slice(wanted.length);
  if (rest === '' || rest.startsWith('?')) return withoutCoderKeys(`/${rest}`);
  return rest.startsWith('/') ? withoutCoderKeys(rest) : null;
}

/** Coder passes `?coder_session_token=` on to the app, which could then act as the person anywhere in Coder. */
function withoutCoderKeys(target: string): string {
  const at = target.indexOf('?');
  if (at === -1) return target;
  const kept = target
    .slice(at + 1)
    .split('&')
    .filter((pair) => !isCoders(decoded(pair.split('=', 1)[0] ?? '')));
  return kept.length === 0 ? target.slice(0, at) : `${target.slice(0, at)}?${kept.join('&')}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const isCoders = (name: string): boolean => /^(__host-|__secure-)?coder_/i.test(name.trim());

/**
 * Where the app's own address leads: to these files, else to the folder it names. Null for every other target.
 *
 * It is a relative address, and the IDE's own afterwards: reloading the page stays in the folder that was opened.
 */
export function openingOf(target: string, files: string | null): string | null {
  const [path, query = ''] = target.split(/\?(.*)/s, 2);
  const pairs = query.split('&');
  if (path !== '/' || !pairs.includes(followTask)) return null;
  const rest = pairs.filter((pair) => pair !== followTask && (files === null || !pair.startsWith('folder=')));
  return `?${[...(files === null ? [] : [`folder=${encodeURI(files)}`]), ...rest].join('&')}`;
}

/** One connection carries one request, and what proves who the person is stays on this side. */
const droppedFromRequest = new Set([
  'authorization',
  'coder-session-token',
  'connection',
  'expect',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'upgrade',
]);

export const isWebSocket = ({ method, headers }: RequestHead): boolean =>
  method === 'GET' &&
  /^websocket$/i.test(valueOf(headers, 'upgrade') ?? '') &&
  /(^|,)\s*upgrade\s*(,|$)/i.test(valueOf(headers, 'connection') ?? '');

/** The head that the IDE gets for an authorized request. `target` is what `targetBehind` answered. */
export function requestForIde(request: RequestHead, target: string): string {
  const headers = request.headers
    .filter(([name]) => !droppedFromRequest.has(name.toLowerCase()))
    .map(([name, value]) => [name, name.toLowerCase() === 'cookie' ? withoutCoderCookies(value) : value] as const)
    .filter(([name, value]) => value !== '' || name.toLowerCase() !== 'cookie');
  const connection: Headers = isWebSocket(request)
    ? [
        ['Connection', 'Upgrade'],
        ['Upgrade', 'websocket'],
      ]
    : [['Connection', 'close']];
  return printHead(`${request.method} ${target} HTTP/1.1`, [...headers, ...connection]);
}

const withoutCoderCookies = (value: string): string =>
  value
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '' && !isCoders(pair.split('=', 1)[0] ?? ''))
    .join('; ');

/**
 * The head that the browser gets for the IDE's answer.
 *
 * Under Coder's path apps the IDE shares an origin with Coder itself: it may set no cookie of Coder's and clear no
 * site data there. A redirect to an absolute path would leave the app, so it is made relative to what was asked for.
 */
export function responseForBrowser(response: ResponseHead, target: string, host: string | null): string {
  const isUpgrade = response.status === 101;
  const headers = response.headers
    .filter(([name, value]) => {
      const known = name.toLowerCase();
      if (known === 'clear-site-data') return false;
      if (known === 'set-cookie') return !isCoders(value.split('=', 1)[0] ?? '');
      return isUpgrade || (known !== 'connection' && known !== 'keep-alive');
    })
    .map(([name, value]) =>
      name.toLowerCase() === 'location' ? ([name, relativeTo(target, value, host)] as const) : ([name, value] as const),
    );
  return printHead(response.statusLine, isUpgrade ? headers : [...headers, ['Connection', 'close']]);
}

/** A relative address of `location` as seen from `target`; one on another host stays as it is. */
function relativeTo(target: string, location: string, host: string | null): string {
  let path = location;
  const absolute = /^(?:https?:)?\/\/([^/?#]*)(.*)$/i.exec(location);
  if (absolute !== null) {
    if (host === null || absolute[1]?.toLowerCase() !== host.toLowerCase()) return location;
    path = absolute[2]?.startsWith('/') === true ? absolute[2] : `/${absolute[2] ?? ''}`;
  }
  if (!path.startsWith('/')) return path;
  const depth = (target.split('?', 1)[0] ?? '/').split('/').length - 2;
  return `${depth === 0 ? './' : '../'.repeat(depth)}${path.replace(/^\/+/, '')}`;
}
