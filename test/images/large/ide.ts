import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { helperEnvironment, paths, ports } from '../../../modules/contract.ts';
import { gatePathOf } from '../../../modules/workspace/helper/settings.ts';
import { base, containerOf, docker, nameOf } from './images.ts';

/** Where the extension answers while it is active, and what it says. */
const extensionPort = 4000;
export const extensionAnswer = 'the extension is active';

const manifest = {
  publisher: 'outrigger',
  version: '1.0.0',
  engines: { vscode: '^1.80.0' },
  main: './extension.js',
  activationEvents: ['*'],
  capabilities: { untrustedWorkspaces: { supported: true } },
};
const code = `const { createServer } = require('node:http');
exports.activate = () => { createServer((_, answer) => answer.end('${extensionAnswer}')).listen(${extensionPort}, '127.0.0.1'); };
`;
const packageManifest = (name: string): string => `<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata><Identity Language="en-US" Id="${name}" Version="1.0.0" Publisher="outrigger"/><DisplayName>${name}</DisplayName></Metadata>
  <Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>
  <Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/></Assets>
</PackageManifest>`;

/** Makes `<folder>/<name>.vsix`, an extension that answers on loopback while it is active. Packed by devbox's python. */
export function makeExtension(folder: string, name: string): string {
  const parts = join(folder, name);
  // A temporary folder is its owner's alone, and the container's user is another.
  chmodSync(folder, 0o755);
  mkdirSync(join(parts, 'extension'), { recursive: true });
  writeFileSync(join(parts, 'extension/package.json'), JSON.stringify({ name, ...manifest }));
  writeFileSync(join(parts, 'extension/extension.js'), code);
  writeFileSync(join(parts, 'extension.vsixmanifest'), packageManifest(name));
  const pack = 'cd /parts && python3 -m zipfile -c /tmp/x.vsix extension extension.vsixmanifest && cat /tmp/x.vsix';
  const words = ['run', '--rm', '-v', `${parts}:/parts:ro`, nameOf('devbox'), 'sh', '-c', pack];
  const { stdout, stderr, status } = spawnSync('docker', words);
  if (status !== 0) throw new Error(`The extension was not packed:\n${stderr.toString()}`);
  const packed = join(folder, `${name}.vsix`);
  writeFileSync(packed, stdout);
  return packed;
}

/** An image with Debian's Chromium, which opens the IDE as a person's browser does. */
export function buildBrowser(): void {
  const dockerfile = `FROM ${base}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium && rm -rf /var/lib/apt/lists/*
USER 65534:65534
`;
  const words = ['build', '--tag', nameOf('browser'), '-'];
  const { status, stderr } = spawnSync('docker', words, { input: dockerfile, encoding: 'utf8' });
  if (status !== 0) throw new Error(`The browser was not built:\n${stderr.slice(-3_000)}`);
}

const agentToken = 'a token of this test only';
/** Where the IDE answers in its container, as Coder's proxy asks. */
export const gate = `${String(ports.ide)}/${gatePathOf(agentToken)}`;

/**
 * The IDE behind its gate, as a workspace has it: the init container fills /tools, then the helper starts the IDE in a
 * container that has no network but loopback.
 */
export function startIde(): { container: string; openPage: () => void; stop: () => void } {
  const [container, browser, tools] = [containerOf('ide'), containerOf('browser'), containerOf('tools')];
  docker('run', '--rm', '--network', 'none', '-v', `${tools}:/tools`, nameOf('opencode'));
  const told = {
    [helperEnvironment.agentToken]: agentToken,
    [helperEnvironment.ideEnabled]: 'true',
    [helperEnvironment.runDir]: '/tmp',
    BUN_BE_BUN: '1',
  };
  const limits = ['--init', '--network', 'none', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];
  const given = Object.entries(told).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  const words = [paths.enter, paths.opencode, paths.helper, 'serve'];
  const volume = ['-v', `${tools}:${paths.tools}:ro`];
  docker('run', '--detach', '--name', container, ...limits, ...volume, ...given, nameOf('code-server'), ...words);
  return {
    container,
    openPage: () => {
      const own = ['--user-data-dir=/tmp/chromium', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];
      const page = `http://127.0.0.1:${gate}/?folder=/workspace`;
      const run = ['run', '--detach', '--name', browser, '--network', `container:${container}`, '-e', 'HOME=/tmp'];
      docker(...run, nameOf('browser'), 'chromium', '--headless=new', '--remote-debugging-port=0', ...own, page);
    },
    stop: () => {
      docker('rm', '--force', '--volumes', browser, container);
      docker('volume', 'rm', '--force', tools);
    },
  };
}

/** What an address of the IDE's container answers, as soon as something listens there and no longer asks to wait. */
export const whenListening = (container: string, path: string) =>
  docker(
    ...['exec', container, 'curl', '--silent', '--show-error', '--retry', '240', '--retry-connrefused'],
    ...['--retry-delay', '1', `http://127.0.0.1:${path}`],
  );
export const extensionPath = `${extensionPort}/`;

/** Resident memory of every process in a container, in MB; pages that several share count for each. */
export function residentMb(container: string): number {
  const sum = "awk '/^VmRSS/ { kb += $2 } END { print kb }' /proc/[0-9]*/status";
  return Math.round((Number(docker('exec', container, 'sh', '-c', sum).stdout) * 1024) / 1_000_000);
}
