import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { buildEgress } from '../../scripts/build-bridge.ts';
import { opencodeBinary } from '../support/bridge/bridge-process.ts';
import { eventually } from '../support/clock.ts';
import { at, list, ports } from './addresses.ts';

/** Three machines of their own: the workspace's, the proxy's between, and the world's. */
export interface Lab {
  /** What the world and the proxy's machine saw so far. */
  readonly seen: () => readonly { readonly place: string; readonly seen: string }[];
  readonly proxyLog: () => string;
  /** Runs a bundled program of this folder in the workspace's namespace, as nobody and without capabilities. */
  run(program: string, environment: Readonly<Record<string, string>>): Promise<string>;
  end(): void;
}

export interface LabOptions {
  /** Whether the network itself holds the workspace back; without it only variables name the proxy. */
  readonly isEnforced: boolean;
  readonly mode: 'allowlist' | 'local-only';
}

/** Why the tests cannot run here, or null. */
export function whatIsMissing(): string | null {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs network namespaces: root on Linux';
  for (const [program, ...words] of [
    ['ip', '-V'],
    ['nft', '--version'],
    ['setpriv', '--version'],
    ['openssl', 'version'],
    ['perl', '-v'],
    ['curl', '--version'],
    ['git', '--version'],
    ['ssh', '-V'],
  ]) {
    if (spawnSync(program ?? '', words).status !== 0)
      return `needs ${program ?? ''}; scripts/test-egress.sh installs it`;
  }
  const name = `orprobe${String(process.pid)}`;
  const made = spawnSync('ip', ['netns', 'add', name]).status === 0;
  spawnSync('ip', ['netns', 'del', name]);
  return made ? null : 'needs network namespaces: this container may not make them';
}

function must(program: string, ...words: string[]): void {
  const { status, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`);
}

export async function openLab({ isEnforced, mode }: LabOptions): Promise<Lab> {
  const id = `${String(process.pid)}${isEnforced ? 'e' : 'b'}`;
  const [agent, proxy, world] = ['a', 'p', 'w'].map((one) => `or${one}${id}`) as [string, string, string];
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-egress-'));
  chmodSync(folder, 0o755);
  const children: ChildProcess[] = [];
  const seen: { place: string; seen: string }[] = [];
  let proxyLog = '';
  const end = (): void => {
    for (const one of children) one.kill('SIGKILL');
    for (const one of [agent, proxy, world]) spawnSync('ip', ['netns', 'del', one]);
    for (const one of [agent, proxy, world]) rmSync(`/etc/netns/${one}`, { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  };
  const start = (
    where: string,
    words: readonly string[],
    environment: Readonly<Record<string, string>>,
    hear: (line: string) => void,
  ): void => {
    const child = spawn('ip', ['netns', 'exec', where, ...words], {
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '', ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let held = '';
    child.stdout.on('data', (piece: Buffer) => {
      const lines = (held + piece.toString('latin1')).split('\n');
      held = lines.pop() ?? '';
      for (const line of lines) hear(line);
    });
    children.push(child);
  };

  try {
    makeNetwork({ agent, proxy, world }, isEnforced);
    makeCertificate(folder);
    await bundle(folder);
    let ready = 0;
    const hear = (line: string): void => {
      if (line === 'ready') ready += 1;
      else seen.push(JSON.parse(line) as { place: string; seen: string });
    };
    start(world, [process.execPath, join(folder, 'world.mjs'), folder, 'world'], {}, hear);
    start(proxy, [process.execPath, join(folder, 'world.mjs'), folder, 'beside'], {}, hear);
    // The runtime of a real workspace's proxy, where it is installed.
    const [runtime, isBun] = existsSync(opencodeBinary) ? [opencodeBinary, '1'] : [process.execPath, ''];
    start(
      proxy,
      [runtime, join(folder, 'egress.mjs')],
      {
        BUN_BE_BUN: isBun,
        OUTRIGGER_EGRESS: mode,
        OUTRIGGER_EGRESS_HOSTS: list,
        OUTRIGGER_URL: `http://outrigger.example:${String(ports.service)}`,
        OUTRIGGER_CODER_URL: 'https://coder.example',
      },
      (line) => (proxyLog += `${line}\n`),
    );
    await eventually(
      'the machines to stand',
      () => Promise.resolve(ready === 2 && proxyLog.includes('listening')),
      120_000,
    );
  } catch (error) {
    end();
    throw error;
  }

  return {
    seen: () => seen,
    proxyLog: () => proxyLog,
    end,
    run: (program, environment) =>
      new Promise((resolve, reject) => {
        const nobody = [
          'setpriv',
          '--reuid=65534',
          '--regid=65534',
          '--clear-groups',
          '--bounding-set=-all',
          '--no-new-privs',
        ];
        const child = spawn(
          'ip',
          ['netns', 'exec', agent, ...nobody, process.execPath, join(folder, `${program}.mjs`)],
          {
            cwd: '/',
            env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent', ...environment },
            stdio: ['ignore', 'pipe', 'pipe'],
          },
        );
        let [out, err] = ['', ''];
        child.stdout.on('data', (piece: Buffer) => (out += piece.toString()));
        child.stderr.on('data', (piece: Buffer) => (err += piece.toString()));
        child.once('error', reject);
        child.once('close', (code) =>
          code === 0 ? resolve(out) : reject(new Error(`${program} ended with ${String(code)}: ${err}`)),
        );
      }),
  };
}

/**
 * The workspace has one cable, to the proxy's machine. Enforced, that machine forwards nothing and answers on one port
 * only, as Docker's internal network and Kubernetes' NetworkPolicy make it; else it is a plain router.
 */
function makeNetwork({ agent, proxy, world }: Record<'agent' | 'proxy' | 'world', string>, isEnforced: boolean): void {
  const inside = (where: string, ...words: string[]): void => must('ip', 'netns', 'exec', where, ...words);
  const ip = (where: string, words: string): void => must('ip', '-n', where, ...words.split(' '));
  for (const one of [agent, proxy, world]) {
    spawnSync('ip', ['netns', 'del', one]);
    must('ip', 'netns', 'add', one);
    mkdirSync(`/etc/netns/${one}`, { recursive: true });
    writeFileSync(`/etc/netns/${one}/resolv.conf`, `nameserver ${at.names}\noptions timeout:1 attempts:1\n`);
    ip(one, 'link set lo up');
    const settings = [
      'net.ipv6.conf.all.accept_dad=0',
      'net.ipv6.conf.default.accept_dad=0',
      'net.ipv4.ping_group_range=0 2147483647',
    ];
    for (const setting of settings) inside(one, 'sysctl', '-qw', setting);
  }
  must('ip', 'link', 'add', 'eth0', 'netns', agent, 'type', 'veth', 'peer', 'name', 'workspace', 'netns', proxy);
  must('ip', 'link', 'add', 'world', 'netns', proxy, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', world);
  const plugs: readonly (readonly [string, string, readonly string[]])[] = [
    [agent, 'eth0', [`${at.agent}/24`, `${at.agent6}/64`]],
    [proxy, 'workspace', [`${at.proxy}/24`, `${at.proxy6}/64`]],
    [proxy, 'world', [`${at.router}/24`, `${at.router6}/64`]],
    [world, 'eth0', [at.allowed, at.service, at.coder, at.names, at.evil].map((one) => `${one}/24`)],
    [world, 'eth0', [`${at.allowed6}/64`, `${at.evil6}/64`]],
    [world, 'lo', [at.publicNames, at.metadata, at.otherWorkspace].map((one) => `${one}/32`)],
    [world, 'lo', [`${at.otherWorkspace6}/128`]],
  ];
  for (const [where, device, addresses] of plugs) {
    for (const one of addresses) ip(where, `addr add ${one} dev ${device}${one.includes(':') ? ' nodad' : ''}`);
    ip(where, `link set ${device} up`);
  }
  ip(proxy, `route add default via ${at.allowed}`);
  ip(proxy, `-6 route add default via ${at.allowed6}`);
  ip(world, `route add default via ${at.router}`);
  ip(world, `-6 route add default via ${at.router6}`);
  const forward = isEnforced ? '0' : '1';
  for (const family of ['ipv4.ip_forward', 'ipv6.conf.all.forwarding'])
    inside(proxy, 'sysctl', '-qw', `net.${family}=${forward}`);
  if (isEnforced) {
    inside(proxy, 'nft', enforcement);
  } else {
    ip(agent, `route add default via ${at.proxy}`);
    ip(agent, `-6 route add default via ${at.proxy6}`);
  }
}

const enforcement = `add table inet egress
add chain inet egress in { type filter hook input priority 0; policy accept; }
add chain inet egress through { type filter hook forward priority 0; policy drop; }
add rule inet egress in iifname "workspace" ip daddr ${at.proxy} tcp dport ${String(ports.proxy)} accept
add rule inet egress in iifname "workspace" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
add rule inet egress in iifname "workspace" reject`;

function makeCertificate(folder: string): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', join(folder, 'key.pem')];
  must('openssl', 'req', '-x509', '-nodes', '-subj', '/CN=lab', '-days', '2', ...key, '-out', join(folder, 'cert.pem'));
}

async function bundle(folder: string): Promise<void> {
  await buildEgress(join(folder, 'egress.mjs'));
  for (const name of ['world', 'try-everything']) {
    await build({
      entryPoints: [join(import.meta.dirname, `${name}.ts`)],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: join(folder, `${name}.mjs`),
      logLevel: 'error',
    });
  }
  // Node itself may lie where nobody else can read it.
  copyFileSync(process.execPath, join(folder, 'node'));
}
