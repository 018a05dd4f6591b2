import type { ImageConfig } from './engine.ts';
import { valueOf, type Probe } from './probe.ts';

/** What the doctor saw of one image. */
export interface Findings {
  readonly config: ImageConfig;
  /** As 1000:0, the user of every executor. */
  readonly usual: Probe;
  /** As 100012345:0, a user that no image knows; OpenShift gives such. */
  readonly arbitrary: Probe;
  /** As root, who sees every folder. */
  readonly root: Probe;
}

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was seen. */
  readonly found: string;
  /** What to do; only where it is not ok. */
  readonly remedy?: string;
}

export const arbitraryUser = '100012345:0';
export const usualUser = '1000:0';

/** Every tool that our own scripts in an executor call, and what they are for. */
/** Programs that a workspace's scripts call, whatever the image. */
export const neededTools = [
  'sh',
  'git',
  'base64',
  'sha256sum',
  'sed',
  'grep',
  'mkdir',
  'cp',
  'mv',
  'rm',
  'mktemp',
  'cat',
];

type Rule = (findings: Findings) => Check;

const passed = (name: string, found: string): Check => ({ name, ok: true, found });
const broken = (name: string, found: string, remedy: string): Check => ({ name, ok: false, found, remedy });

/** Settings of the image, before anything of it runs. */
export const configRules: readonly Rule[] = [
  ({ config }) =>
    config.user === usualUser
      ? passed('USER', usualUser)
      : broken('USER', config.user || 'none, which is root', 'End the Dockerfile with USER 1000:0.'),
  ({ config }) => environmentRule(config, 'HOME', '/home/coder'),
  ({ config }) => environmentRule(config, 'SHELL', '/bin/zsh, or /bin/bash where there is no zsh'),
  ({ config }) => environmentRule(config, 'WORKSPACE_DIR', '/workspace, from ARG WORKSPACE_DIR=/workspace'),
  ({ config: { workingDir, environment } }) => {
    const wanted = environment['WORKSPACE_DIR'] ?? '/workspace';
    return workingDir === wanted
      ? passed('WORKDIR', workingDir)
      : broken('WORKDIR', workingDir || 'none', `Add WORKDIR ${wanted} to the Dockerfile.`);
  },
  ({ config: { command } }) =>
    command.length === 1 && /^(\/usr)?(\/bin\/)?bash$/.test(command[0] ?? '')
      ? passed('CMD', 'bash')
      : broken('CMD', command.join(' ') || 'none', 'Add CMD ["bash"] to the Dockerfile.'),
];

function environmentRule({ environment }: ImageConfig, name: string, wanted: string): Check {
  const value = environment[name];
  return value?.startsWith('/')
    ? passed(name, value)
    : broken(name, value ?? 'not set', `Set it in the Dockerfile: ENV ${name}=… (${wanted}).`);
}

/** What is in the image; asked only where its `sh` ran. */
export const contentRules: readonly Rule[] = [
  ({ config, usual }) => {
    const shell = config.environment['SHELL'];
    if (shell === undefined || usual.has('shell_exists')) return passed('shell', shell ?? '/bin/sh');
    return broken(
      'shell',
      `${shell} is not there`,
      `Install ${shell.split('/').at(-1) ?? shell}, or set SHELL to one that is.`,
    );
  },
  ({ usual }) => {
    const missing = neededTools.filter((tool) => !usual.has(`tool.${tool}`));
    if (!usual.has('tool.bash')) missing.push('bash');
    if (!usual.has('tool.curl') && !usual.has('tool.wget')) missing.push('curl or wget');
    return missing.length === 0
      ? passed('tools', `all ${neededTools.length + 2} that a workspace needs`)
      : broken('tools', `missing: ${missing.join(', ')}`, `Install ${missing.join(', ')} in the Dockerfile.`);
  },
  ({ usual }) =>
    usual.has('certificates')
      ? passed('certificates', 'the image trusts public authorities')
      : broken(
          'certificates',
          'no /etc/ssl/certs/ca-certificates.crt',
          'Install ca-certificates: git and curl need it.',
        ),
  ({ usual }) => {
    if (usual.has('glibc')) return passed('libc', 'glibc');
    const found = usual.has('musl') ? 'musl, as in Alpine' : 'no dynamic loader of glibc';
    return broken(
      'libc',
      found,
      'OpenCode is built for glibc and cannot start here. Build on Debian, Ubuntu, Fedora or UBI instead of Alpine.',
    );
  },
  ({ root }) => {
    const holds = valueOf(root, 'tools_holds');
    return holds === undefined
      ? passed('/tools', 'empty, ready for the mount')
      : broken(
          '/tools',
          `holds ${holds}`,
          'Put your files elsewhere: the mount of OpenCode hides everything in /tools.',
        );
  },
  ({ root }) => {
    const folders = root.get('world_writable') ?? [];
    if (!root.has('tool.find'))
      return broken('shared folders', 'not looked at: there is no find', 'Install findutils.');
    return folders.length === 0
      ? passed('shared folders', 'none that everybody can write')
      : broken(
          'shared folders',
          `everybody can write ${folders.slice(0, 5).join(', ')}${folders.length > 5 ? ` and ${folders.length - 5} more` : ''}`,
          'Give group 0 the rights instead of everybody: chgrp -R 0 FOLDER && chmod -R g=u,o-w FOLDER.',
        );
  },
  (findings) => folderRule(findings, 'workspace', usualUser),
  (findings) => folderRule(findings, 'workspace', arbitraryUser),
  (findings) => folderRule(findings, 'home', usualUser),
  // HOME falls back to /tmp where it is not writable, so only /tmp must be.
  ({ arbitrary, config }) =>
    valueOf(arbitrary, 'home') === 'writable' || valueOf(arbitrary, 'tmp') === 'writable'
      ? passed(
          `home as ${arbitraryUser}`,
          valueOf(arbitrary, 'home') === 'writable' ? (config.environment['HOME'] ?? '') : 'falls back to /tmp',
        )
      : broken(
          `home as ${arbitraryUser}`,
          'neither HOME nor /tmp can be written',
          'chmod 1777 /tmp in the Dockerfile.',
        ),
];

function folderRule({ config, usual, arbitrary }: Findings, what: 'workspace' | 'home', user: string): Check {
  const probe = user === usualUser ? usual : arbitrary;
  const variable = what === 'workspace' ? 'WORKSPACE_DIR' : 'HOME';
  const path = config.environment[variable] ?? (what === 'workspace' ? '/workspace' : '/home/coder');
  const name = `${what} as ${user}`;
  const state = valueOf(probe, what);
  if (state === 'writable') return passed(name, `${path} can be written`);
  const remedy = `In the Dockerfile, as root: mkdir -p ${path} && chown -R 1000:0 ${path} && chmod -R g=u ${path}`;
  if (what === 'home' && config.environment['HOME'] === undefined) return broken(name, 'HOME is not set', remedy);
  if (state !== 'refused') return broken(name, `${path} is not there`, remedy);
  const owner = valueOf(probe, `${what}.owner`);
  return broken(
    name,
    `permission denied on ${path}${owner === undefined ? '' : ` (owner and mode ${owner})`} for UID ${user.split(':')[0] ?? ''}`,
    remedy,
  );
}
