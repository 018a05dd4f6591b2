import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { nixEnvironmentFile } from '../../../../modules/contract.ts';
import { refuseUnsafe } from '../../../../modules/policy/refuse-unsafe.ts';
import { ideKinds } from '../../../../modules/workspace/helper/ide-kinds.ts';
import { synthesizeTemplate } from '../../../../scripts/template.ts';
import { templates } from '../../../../stacks/templates.ts';
import {
  gatePath,
  installHelper,
  makeWorker,
  processesOf,
  tokenCanary,
  until,
  type Tools,
  type Worker,
} from './world.ts';

let tools: Tools;
let worker: Worker;
beforeAll(async () => {
  tools = await installHelper();
});
afterAll(() => tools.remove());
afterEach(async () => {
  expect(await worker.end()).toEqual([]);
});

const enabled = { OUTRIGGER_IDE_ENABLED: 'true' };
const ready = async (): Promise<unknown> => await until('the IDE', () => worker.state()?.phase === 'Ready');
const health = async (): Promise<number> =>
  (await fetch(`http://127.0.0.1:${String(worker.port)}/${gatePath}/healthz`)).status;
const startOfIde = () => {
  const start = worker.ideStart();
  if (start === null) throw new Error('the IDE was never started');
  return start;
};
/** Local addresses that listen on a port, as the kernel writes them. Source: proc_net_tcp(5). */
const listenersAt = (port: string): readonly string[] =>
  ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap((path) => readFileSync(path, 'utf8').split('\n'))
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([, local = '', , state]) => (state === '0A' && local.endsWith(`:${port}`) ? [local] : []));
const synthesizeIde = (bind: string): void => {
  const script = `code-server --auth none --disable-telemetry --bind-addr ${bind}`;
  refuseUnsafe({ resource: { coder_script: { ide: { script } } } }, new Map());
};
const isAlive = (pid: number | undefined): boolean => existsSync(`/proc/${String(pid)}`);

describe('the helper and the IDE', () => {
  it('P-85 starts each IDE without telemetry', async () => {
    worker = await makeWorker(tools, enabled);
    worker.start('serve');
    await ready();
    const places = { socket: '/s', userDataDir: '/u', extensionsDir: '/e', basePath: '' };
    const withTelemetry = Object.entries(ideKinds).filter(
      ([, kind]) => !kind.argv(places).includes('--disable-telemetry'),
    );

    expect(withTelemetry).toEqual([]);
    expect(worker.ideStart()?.argv).toContain('--disable-telemetry');
  });

  it('P-84 has no password where only its own user and the gate on 127.0.0.1 reach it, and no template binds it elsewhere', async () => {
    worker = await makeWorker(tools, enabled);
    worker.start('serve');
    await ready();
    const { argv } = startOfIde();

    expect(argv).toEqual(expect.arrayContaining(['--auth', 'none', '--socket']));
    expect(argv).not.toContain('--bind-addr');
    const port = worker.port.toString(16).toUpperCase().padStart(4, '0');
    expect(listenersAt(port)).toEqual([`0100007F:${port}`]);
    for (const bind of ['0.0.0.0:8080', '[::]:8080', '10.0.0.1:8080', '192.168.1.1:13337'])
      expect(() => synthesizeIde(bind)).toThrow(/\((ide-command|loopback)\)/);
    expect(() => synthesizeIde('127.0.0.1:13337')).not.toThrow();
    for (const entry of templates) {
      const { coder_app: apps } = synthesizeTemplate(entry)['resource'] as Record<string, object>;
      expect(apps).toMatchObject({ ide: { share: 'owner', url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:/) } });
    }
  });

  it('lets it listen on a private socket and on no port', async () => {
    worker = await makeWorker(tools, enabled);
    worker.start('serve');
    await ready();
    const { argv, environment } = startOfIde();
    const socket = argv[argv.indexOf('--socket') + 1] ?? '';

    expect(argv).toEqual(expect.arrayContaining(['--auth', 'none', '--socket-mode', '0600', '--disable-proxy']));
    expect(argv).not.toContain('--bind-addr');
    expect(argv).not.toContain('--disable-workspace-trust');
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    expect(statSync(join(socket, '..')).mode & 0o777).toBe(0o700);
    expect(socket).toMatch(/^\/tmp\/outrigger-ide-/);
    expect(argv[argv.indexOf('--user-data-dir') + 1]).toBe(join(worker.home, '.local/share/outrigger-ide/user-data'));
    // What a terminal of Coder's has, and nothing that would make OpenCode a runtime or the IDE another server.
    expect(environment).toMatchObject({ CODER_AGENT_TOKEN: tokenCanary, HOME: worker.home });
    expect(Object.keys(environment)).not.toEqual(expect.arrayContaining(['BUN_BE_BUN']));
    expect(Object.keys(environment).filter((name) => /OPENVSCODE|^OUTRIGGER_IDE/.test(name))).toEqual([]);
  });

  it('starts it behind /tools/enter once the tools of workspace.nix are there, so that it finds them (part of P-29)', async () => {
    const nixDir = mkdtempSync(join(tmpdir(), 'outrigger-store-'));
    try {
      worker = await makeWorker(tools, { ...enabled, OUTRIGGER_NIX_DIR: nixDir });
      worker.start('serve');
      await until('the wait', () => worker.state()?.message.includes('workspace.nix'));
      expect(worker.ideStart()).toBeNull();

      const state = join(worker.home, '.local/state/outrigger');
      mkdirSync(state, { recursive: true });
      writeFileSync(join(state, 'nix-env'), `PATH='/nix/x':$PATH\nexport FROM_NIX=yes\n`);
      worker.give('.local');
      mkdirSync(join(nixDir, 'var/outrigger'), { recursive: true });
      chmodSync(nixDir, 0o755);
      writeFileSync(join(nixDir, nixEnvironmentFile), '{}');
      await ready();

      const { PATH, FROM_NIX } = startOfIde().environment;
      expect(FROM_NIX).toBe('yes');
      expect(PATH).toMatch(new RegExp(`^${tools.directory}:/nix/x:`));
      expect(worker.state()?.message).toBe('');
    } finally {
      rmSync(nixDir, { recursive: true, force: true });
    }
  });

  it('keeps git off, asks before it trusts a folder, and allows the extensions of the admin and no others', async () => {
    worker = await makeWorker(tools, { ...enabled, OUTRIGGER_ALLOWED_EXTENSIONS: 'golang.go, ms-python, bad id!' });
    const file = join(worker.home, '.local/share/outrigger-ide/user-data/User/settings.json');
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(
      file,
      JSON.stringify({ 'editor.fontSize': 20, 'git.enabled': true, 'extensions.allowed': { '*': true } }),
    );
    for (const folder of ['.local', '.local/share', '.local/share/outrigger-ide']) worker.give(folder);
    worker.start('serve');
    await ready();

    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      'editor.fontSize': 20,
      'git.enabled': true,
      'git.autofetch': false,
      'security.workspace.trust.enabled': true,
      'extensions.allowed': { 'golang.go': true, 'ms-python': true, bad: true },
    });
  });

  it('starts it only when asked, and in place: the helper goes on through all of it (part of I-20)', async () => {
    worker = await makeWorker(tools);
    const helper = worker.start('serve');
    await until('the first state', () => worker.state()?.phase === 'Stopped');
    expect(worker.ideStart()).toBeNull();

    worker.wish(true, 1);
    await until('the IDE', () => worker.state()?.phase === 'Ready');
    const first = worker.ideStart()?.pid;
    expect(await health()).toBe(200);
    worker.wish(false, 2);
    await until('the end of it', () => worker.state()?.phase === 'Stopped' && worker.state()?.generation === 2);
    expect(isAlive(first)).toBe(false);
    expect(await health()).toBe(503);
    worker.wish(true, 3);
    await until('the IDE again', () => worker.state()?.phase === 'Ready' && worker.state()?.generation === 3);

    expect(isAlive(helper.pid)).toBe(true);
    expect(await health()).toBe(200);
  });

  it('starts it again when it dies', async () => {
    worker = await makeWorker(tools, enabled);
    worker.start('serve');
    await ready();
    const first = worker.ideStart()?.pid;

    await fetch(`http://127.0.0.1:${String(worker.port)}/${gatePath}/crash`).catch(() => undefined);
    await until('another IDE', () => worker.ideStart()?.pid !== first && worker.state()?.phase === 'Ready');

    expect(await health()).toBe(200);
    expect(worker.lines).toEqual(
      expect.arrayContaining([expect.stringContaining('The IDE ended with 9. It is started again.')]),
    );
  });

  it('leaves nothing behind when it is told to stop', async () => {
    worker = await makeWorker(tools, enabled);
    const helper = worker.start('serve');
    await ready();
    const { argv } = startOfIde();

    expect(await worker.start('stop').output).toBe('helper: stopped.\n');
    expect(await helper.exited).toBe(0);
    expect(worker.state()?.phase).toBe('Stopped');
    expect(existsSync(join(argv[argv.indexOf('--socket') + 1] ?? '/', '..'))).toBe(false);
    expect(processesOf(tools.stubIdeDir)).toEqual([]);
    expect(await worker.start('stop').output).toBe('helper: does not run.\n');
  });

  it('ends what a killed helper left before it starts its own', async () => {
    worker = await makeWorker(tools, enabled);
    const helper = worker.start('serve');
    await ready();
    const first = worker.ideStart()?.pid;
    helper.kill('SIGKILL');
    await helper.exited;
    expect(isAlive(first)).toBe(true);

    worker.start('serve');
    await until('another IDE', () => worker.ideStart()?.pid !== first && worker.state()?.phase === 'Ready');

    expect(isAlive(first)).toBe(false);
    expect(await health()).toBe(200);
  });

  it('is there once: a second one says so and goes', async () => {
    worker = await makeWorker(tools, enabled);
    const helper = worker.start('serve');
    await ready();

    expect(await worker.start('serve').output).toBe(`helper: already serves as process ${String(helper.pid)}.\n`);
    expect(await health()).toBe(200);
  });

  it.each([
    ['the image holds none', { PATH: '/usr/bin:/bin' }, /^This image holds no code-server\. Choose/],
    ['the template has none', { OUTRIGGER_IDE: 'none' }, /^This workspace was built without an IDE\./],
    [
      'the template names an unknown one',
      { OUTRIGGER_IDE: 'emacs' },
      /Known: code-server, openvscode-server, vscode-web\.$/,
    ],
    ['there is no agent token', { CODER_AGENT_TOKEN: '' }, /^CODER_AGENT_TOKEN is not set/],
  ])('says in a sentence why there is no IDE when %s', async (_what, environment, sentence) => {
    worker = await makeWorker(tools, { ...enabled, ...environment });
    worker.start('serve');
    await until('the failure', () => worker.state()?.phase === 'Failed');

    expect(worker.state()?.message).toMatch(sentence);
    expect(worker.ideStart()).toBeNull();
  });

  it('starts no IDE where somebody else has the port, then or later in this build', async () => {
    worker = await makeWorker(tools, enabled);
    const squatter = createTcpServer();
    await new Promise<void>((settle) => squatter.listen(worker.port, '127.0.0.1', settle));
    const helper = worker.start('serve');
    await until('the failure', () => worker.state()?.phase === 'Failed');
    expect(worker.state()?.message).toMatch(/^Another program took port \d+.*Restart the workspace\.$/);

    await new Promise((settle) => squatter.close(settle));
    helper.kill('SIGTERM');
    await helper.exited;
    const again = worker.start('serve');
    await until('the failure again', () => worker.state()?.phase === 'Failed');

    expect(isAlive(again.pid)).toBe(true);
    expect(worker.ideStart()).toBeNull();
    await expect(health()).rejects.toThrow();
  });
});

describe('the status of the app in Coder', () => {
  interface Told {
    readonly request: IncomingMessage;
    readonly body: Record<string, unknown>;
  }

  async function startCoder(answer: () => number): Promise<{ url: string; told: Told[]; close(): void }> {
    const told: Told[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => void chunks.push(chunk));
      request.on('end', () => {
        told.push({ request, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown> });
        response.writeHead(answer(), { Location: 'http://127.0.0.1:1/' }).end('null');
      });
    });
    await new Promise<void>((settle) => server.listen(0, '127.0.0.1', settle));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return { url: `http://127.0.0.1:${String(port)}/`, told, close: () => void server.close() };
  }

  it('says what the agent does, in words that Coder takes, and says it again only when it changes', async () => {
    const coder = await startCoder(() => 200);
    worker = await makeWorker(tools, { CODER_AGENT_URL: coder.url });
    const status = (state: string, doing: string): void =>
      writeFileSync(join(worker.runDir, 'status.json'), JSON.stringify({ state, doing, task_id: null, attempt: null }));
    status('running', `\u001b[31mWorking\n${'x'.repeat(500)}`);
    worker.start('serve');
    const first = await until('the first word', () => coder.told[0]);
    status('idle', 'Waiting for work');
    const second = await until('the second word', () => coder.told[1]);
    coder.close();

    expect(first.request.method).toBe('PATCH');
    expect(first.request.url).toBe('/api/v2/workspaceagents/me/app-status');
    expect(first.request.headers['coder-session-token']).toBe(tokenCanary);
    expect(first.body).toEqual({
      app_slug: 'opencode',
      state: 'working',
      message: `[31mWorking ${'x'.repeat(160 - '[31mWorking '.length)}`,
      uri: '',
    });
    expect(second.body).toEqual({ app_slug: 'opencode', state: 'idle', message: 'Waiting for work', uri: '' });
    expect(coder.told).toHaveLength(2);
  });

  it.each([404, 401, 302, 500])('gives up quietly where Coder answers %i', async (code) => {
    const coder = await startCoder(() => code);
    worker = await makeWorker(tools, { ...enabled, CODER_AGENT_URL: coder.url });
    writeFileSync(join(worker.runDir, 'status.json'), JSON.stringify({ state: 'idle', doing: 'Waiting for work' }));
    worker.start('serve');
    await until('the line about it', () => worker.lines.some((line) => line.includes(`it answered ${String(code)}`)));
    await ready();
    coder.close();

    expect(worker.lines.filter((line) => line.includes('Coder does not show'))).toHaveLength(1);
    expect(worker.lines.join('\n')).not.toContain(tokenCanary);
    expect(await health()).toBe(200);
    expect(readdirSync(worker.runDir).sort()).toEqual(['ide-state.json', 'status.json']);
  });
});

describe('the command line of the helper', () => {
  it('tells its usage, and code 2, for words it does not know', async () => {
    worker = await makeWorker(tools);
    const asked = worker.start('fact', 'secrets');

    expect(await asked.exited).toBe(2);
    expect(await asked.output).toMatch(/^usage: helper\.js serve/);
  });
});
