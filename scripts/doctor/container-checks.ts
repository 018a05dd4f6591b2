import { paths } from '../../modules/contract.ts';
import type { Probe } from '../executor/probe.ts';
import { valueOf } from '../executor/probe.ts';
import { neededTools } from '../executor/rules.ts';
import { fail, ok, unknown, warn, type Check } from './check.ts';

/** Commands of the platform that mend something; each is one that a person can paste. */
export interface Remedies {
  /** Gives a folder to the user of the containers. */
  readonly own: (path: string) => string;
  readonly initLog: string;
  readonly restart: string;
  /** A shell command inside the agent's container. */
  readonly inSidecar: (command: string) => string;
}

/** Rules on what the probe said in `container`. */
export function judgeContainer(container: string, probe: Probe, remedies: Remedies): readonly Check[] {
  const name = (what: string): string => `${container}: ${what}`;
  if (!probe.has('probe'))
    return [
      fail(
        name('shell'),
        'no sh ran to the end in it',
        'It does not run, or its image has no shell.',
        remedies.restart,
      ),
    ];
  const folders = ['workspace', 'home', 'agent'].filter((what) => probe.has(what));
  return [
    ...folders.map((what) => folder(name(what), what, probe, remedies)),
    toolsMount(name(paths.tools), probe, remedies),
    missingTools(name('tools'), probe),
    ...(valueOf(probe, 'service_url') === undefined ? [] : [bridge(name('bridge'), probe, remedies)]),
    ...password(name('OpenCode'), probe, remedies),
    ...reaching(name, probe, remedies),
  ];
}

function folder(name: string, what: string, probe: Probe, { own }: Remedies): Check {
  const path = valueOf(probe, `${what}.path`) ?? what;
  const state = valueOf(probe, what);
  const uid = valueOf(probe, 'uid') ?? 'unknown';
  const user = `UID ${uid}, group ${valueOf(probe, 'gid') ?? 'unknown'}`;
  if (state === 'writable') return ok(name, `${path} is writable for ${user}`);
  if (state === 'missing') return fail(name, `${path} is not there`, 'Its volume is not mounted.', own(path));
  const owner = valueOf(probe, `${what}.owner`);
  return fail(
    name,
    `permission denied on ${path}${owner === undefined ? '' : ` (owner and mode ${owner})`} for ${user}`,
    'Something of another user wrote there, or the volume was made elsewhere.',
    own(path),
  );
}

function toolsMount(name: string, probe: Probe, { initLog, restart }: Remedies): Check {
  const options = valueOf(probe, 'tools_mount');
  const missing = probe.get('tools_missing') ?? [];
  if (options === undefined)
    return fail(
      name,
      `${paths.tools} is not mounted`,
      'The container was not made by one of Outrigger’s templates.',
      restart,
    );
  if (missing.length > 0)
    return fail(name, `mounted, and without ${missing.join(', ')}`, 'The init container did not fill it.', initLog);
  const failure = valueOf(probe, 'opencode_fails');
  if (failure !== undefined)
    return fail(
      name,
      `OpenCode does not start here: ${failure}`,
      'The image has no glibc, or the wrong architecture.',
      'outrigger executor doctor IMAGE    (the workspace’s own)',
    );
  if (!options.split(',').includes('ro'))
    return warn(name, 'mounted, and writable', 'What runs here could change what the agent runs.', restart);
  return ok(name, `mounted read-only, with OpenCode ${valueOf(probe, 'opencode') ?? ''}`);
}

const bridge = (name: string, probe: Probe, { restart }: Remedies): Check =>
  probe.has('bridge')
    ? ok(name, 'its process runs')
    : fail(name, 'its process does not run', 'No task can run.', restart);

function missingTools(name: string, probe: Probe): Check {
  const missing = neededTools.filter((tool) => !probe.has(`tool.${tool}`));
  if (!probe.has('tool.curl') && !probe.has('tool.wget')) missing.push('curl or wget');
  return missing.length === 0
    ? ok(name, 'all that a workspace needs')
    : fail(
        name,
        `missing: ${missing.join(', ')}`,
        '',
        `RUN apt-get update && apt-get install -y ${missing.join(' ').replace('curl or wget', 'curl')}    (in the image’s Dockerfile)`,
      );
}

const loopback = /^(0100007F|0{24}01000000|0{16}FFFF00000100007F)$/;

/** OpenCode's server: on loopback only, and closed to whoever has no password. */
function password(name: string, probe: Probe, { restart }: Remedies): readonly Check[] {
  const listeners = (probe.get('listens') ?? []).map((line) => line.split(' '));
  const open = listeners.filter(([, address = '']) => !loopback.test(address));
  if (open.length > 0)
    return [
      fail(
        name,
        `port ${open.map(([port]) => port).join(', ')} listens beyond loopback`,
        'Every container of the network could reach it.',
        restart,
      ),
    ];
  const answers = (probe.get('answers') ?? []).map((line) => line.split(' '));
  const isHttp = ([, protocol = '']: readonly string[]): boolean => protocol.startsWith('HTTP/');
  const [unlocked] = answers.filter((one) => isHttp(one) && one[2] !== '401');
  if (unlocked !== undefined)
    return [
      fail(
        name,
        `port ${unlocked[0]} answers ${unlocked[2]} without a password`,
        'Whoever runs here can drive it.',
        restart,
      ),
    ];
  const again = `ask again in a moment; where it stays so: ${restart}`;
  const [silent] = answers.filter((one) => !isHttp(one));
  if (silent !== undefined)
    return [unknown(name, `port ${silent[0]} is on loopback, and said nothing in 20 s`, '', again)];
  if (answers.length > 0)
    return [
      ok(name, `port ${answers.map(([port]) => port).join(', ')} is on loopback and answers 401 without a password`),
    ];
  return listeners.length === 0
    ? [ok(name, 'listens nowhere now; it does while a task runs')]
    : [unknown(name, 'listens on loopback, and said nothing', '', again)];
}

function reaching(name: (what: string) => string, probe: Probe, { inSidecar }: Remedies): readonly Check[] {
  const url = valueOf(probe, 'service_url');
  if (url === undefined) return [];
  const hint = inSidecar(`curl -v ${url}/readyz`);
  const line = (what: string, expected: string, path: string): Check => {
    const status = valueOf(probe, what);
    if (status === expected) return ok(name(what), `${url}${path} answers`);
    const error =
      valueOf(probe, `${what}_error`) ?? (status === undefined ? 'it could not be asked' : `status ${status}`);
    return fail(
      name(what),
      `${url}${path} cannot be reached from here: ${error}`,
      'A firewall, a proxy or an address of another network stands between.',
      hint,
    );
  };
  // Without a token the gateway must refuse; that it does so shows that it is there.
  return [line('service', '200', '/readyz'), line('gateway', '401', '/llm/v1/models')];
}

/** What another container of the same network got from OpenCode's port: a first line of HTTP, or nothing. */
export function judgeOutside(answers: Probe, restart: string): Check {
  const name = 'OpenCode from another container';
  if (!answers.has('probe'))
    return unknown(name, 'no other container could be started', '', 'Allow it, or leave it out with --no-outside.');
  const said = answers.get('outside') ?? [];
  const bad = said.filter((line) => !/ 401\b/.test(line));
  if (bad.length > 0)
    return fail(name, `answers: ${bad.join(' · ')}`, 'Everybody in the network can drive the agent.', restart);
  return ok(name, said.length > 0 ? 'answers 401' : 'its port is closed');
}
