/**
 * The proxy that the environment names for an address, as curl reads it; null where there is none or the host is
 * excepted. `NO_PROXY` is a list of names, each also meaning what is below it, or `*`.
 */
export function proxyFor(address: string, environment: Readonly<Record<string, string | undefined>>): string | null {
  const { protocol, hostname, port } = new URL(address);
  const value = (name: string): string => environment[name] ?? environment[name.toLowerCase()] ?? '';
  const proxy = value(protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY');
  const excepted = value('NO_PROXY')
    .split(',')
    .map((one) => one.trim().replace(/^\*?\./, ''))
    .filter((one) => one !== '');
  const isExcepted = excepted.some(
    (one) => one === '*' || one === hostname || one === `${hostname}:${port}` || hostname.endsWith(`.${one}`),
  );
  return proxy === '' || isExcepted ? null : proxy;
}
