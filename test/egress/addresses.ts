/**
 * The addresses of the namespaces that these tests make for themselves. Nothing outside of them is ever contacted,
 * though some of the addresses belong to somebody in the world.
 */
export const at = {
  proxy: '10.77.0.1',
  agent: '10.77.0.2',
  proxy6: 'fd77::1',
  agent6: 'fd77::2',
  router: '203.0.113.1',
  router6: '2001:db8::1',
  /** Serves what the list allows. */
  allowed: '203.0.113.10',
  allowed6: '2001:db8::10',
  service: '203.0.113.20',
  coder: '203.0.113.30',
  names: '203.0.113.53',
  /** Everything that must not be reached; `evil` also has a name. */
  evil: '203.0.113.66',
  evil6: '2001:db8::66',
  publicNames: '8.8.8.8',
  metadata: '169.254.169.254',
  otherWorkspace: '10.99.0.5',
  otherWorkspace6: 'fd99::5',
} as const;

export const ports = {
  proxy: 3128,
  /** Of the proxy's machine: what only its admin should see. */
  admin: 9464,
  service: 7676,
  web: 80,
  tls: 443,
  extra: 8443,
} as const;

/** What any place says when it is reached; in front of the place's name. */
export const reached = 'REACHED:';
export const allowedAnswer = 'ALLOWED-ANSWER';

/** TCP and UDP ports at which the forbidden places listen. */
export const forbiddenTcp = [22, 25, 53, 80, 443, 853, 1080, 3128, 7676, 8080, 9418, 9464] as const;
export const forbiddenUdp = [53, 123, 443, 1234, 4500] as const;

/** Names that the world's name server answers, and with what. */
export const names: Readonly<Record<string, readonly string[]>> = {
  'allowed.example': [at.allowed],
  'other.allowed.example': [at.allowed],
  'six.allowed.example': [at.allowed6],
  'xn--bcher-kva.example': [at.allowed],
  'outrigger.example': [at.service],
  'coder.example': [at.coder],
  'evil.example': [at.evil],
  'allowed.example.evil.example': [at.evil],
  'evilallowed.example': [at.evil],
  'inside.allowed.example': [at.otherWorkspace],
  'inside6.allowed.example': [at.otherWorkspace6],
  'meta.allowed.example': [at.metadata],
  'loop.allowed.example': ['127.0.0.1'],
  'self.allowed.example': [at.router],
  'proxy.allowed.example': [at.proxy],
  'link.allowed.example': ['fe80::1'],
  'zero.allowed.example': ['0.0.0.0'],
  'mapped.allowed.example': [`::ffff:${at.otherWorkspace}`],
  'nat64.allowed.example': ['64:ff9b::a9fe:a9fe'],
  'mixed.allowed.example': [at.allowed, at.otherWorkspace],
  'allowed.com': [at.evil],
};

/** Answers with the allowed address first and with one inside from then on. */
export const rebinding = 'rebind.allowed.example';

/** The list that the proxy is given. */
export const list = 'allowed.example,*.allowed.example,xn--bcher-kva.example';
