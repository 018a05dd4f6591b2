/** A repository on a forge. */
export interface Repository {
  /** In small letters, with its port where that is not the usual one. */
  readonly host: string;
  /** Without slashes at its ends and without `.git`. */
  readonly path: string;
}

const segment = /^(?!\.{1,2}$)[A-Za-z0-9_.~-]{1,255}$/;
const hostPattern = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$/;
const mostSegments = 20;
/** Host and path of `git@host:owner/name`. */
const shortSsh = /^[A-Za-z0-9_.-]+@([A-Za-z0-9.-]+):(?!\/)(.+)$/;

/** The repository that a person's address names, however it is written; null where the broker cannot reach it. */
export function repositoryOf(address: string): Repository | null {
  const [, sshHost, sshPath] = shortSsh.exec(address) ?? [];
  if (sshHost !== undefined && sshPath !== undefined) return makeRepository(sshHost, sshPath);
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url === null || url.search !== '' || url.hash !== '' || url.password !== '') return null;
  switch (url.protocol) {
    case 'https:':
      return url.username === '' ? makeRepository(url.host, url.pathname) : null;
    case 'http:':
      return url.username === '' && isLoopback(url.hostname) ? makeRepository(url.host, url.pathname) : null;
    case 'ssh:':
      // Its port is that of ssh, and the broker speaks https.
      return makeRepository(url.hostname, url.pathname);
    default:
      return null;
  }
}

/** Null for anything that is not plainly a host and a path. */
export function makeRepository(host: string, path: string): Repository | null {
  const name = host.toLowerCase();
  const segments = path.replace(/^\/+|\/+$/g, '').split('/');
  const last = (segments.pop() ?? '').replace(/\.git$/, '');
  const all = [...segments, last];
  if (!hostPattern.test(name) || all.length > mostSegments || !all.every((one) => segment.test(one))) return null;
  return { host: name, path: all.join('/') };
}

/** Forges differ in whether they heed capitals; what is on the list is what is asked for in the end. */
export const isSame = (one: Repository, other: Repository): boolean =>
  one.host === other.host && one.path.toLowerCase() === other.path.toLowerCase();

export const nameOf = ({ host, path }: Repository): string => `${host}/${path}`;

/** Whether an address means this machine itself. */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
