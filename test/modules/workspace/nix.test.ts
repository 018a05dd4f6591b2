import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { synthesizeTemplate } from '../../../scripts/template.ts';
import { templates } from '../../../stacks/templates.ts';
import { run, type Finished } from '../../support/terraform/terraform.ts';

const file = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const script = file('modules/workspace/nix.sh');
const clone = file('modules/workspace/clone.sh');
const enter = file('modules/opencode/enter.sh');
const binary = file('node_modules/opencode-linux-x64/bin/opencode');
const fixture = readFileSync(file('test/fixtures/nix/workspace.nix'), 'utf8');
/** The answer is read by OpenCode's runtime. */
const describeNix = existsSync(binary) ? describe : describe.skip;

let root: string;
let home: string;
let workspace: string;
let repository: string;
let state: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-nix-'));
  [home, workspace] = [join(root, 'home'), join(root, 'workspace')];
  repository = join(workspace, 'project');
  state = join(home, '.local/state/outrigger');
  for (const folder of [home, repository, state, join(root, 'bin'), join(root, 'tools'), join(root, 'nix/bin')]) {
    mkdirSync(folder, { recursive: true });
  }
  symlinkSync(binary, join(root, 'tools/opencode'));
  writeFileSync(join(root, 'nix/bin/rustc'), '#!/bin/sh\necho from nix\n', { mode: 0o755 });
  execFileSync('git', ['init', '--quiet', repository]);
  answer({});
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

/**
 * A `nix` that notes what it was asked with and answers as Nix 2.8 does to `print-dev-env --json`. The real one needs
 * a store, and packages from a network.
 */
function answer(variables: Record<string, unknown>): void {
  const exported = (value: string) => ({ type: 'exported', value });
  const all = { PATH: exported(`${root}/nix/bin:/nix/store/x/bin`), name: exported('nix-shell'), ...variables };
  writeFileSync(join(root, 'answer.json'), JSON.stringify({ bashFunctions: { f: 'exit 1' }, variables: all }));
  nix(`printf '%s\\n' "$@" > '${root}/argv'; env > '${root}/environment'
for last; do :; done; cp "$last" '${root}/evaluated'
cat '${root}/answer.json'`);
}

const nix = (body: string): void => program('bin/nix', body);

function program(path: string, body: string): void {
  rmSync(join(root, path), { force: true });
  writeFileSync(join(root, path), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

/** The programs of this machine, which may have a Nix of its own. */
function pathWithoutNix(): string {
  const folder = join(root, 'programs');
  mkdirSync(folder);
  for (const name of readdirSync('/usr/bin'))
    if (!name.startsWith('nix')) symlinkSync(join('/usr/bin', name), join(folder, name));
  return folder;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const places = () => ({
  HOME: home,
  WORKSPACE_DIR: workspace,
  TOOLS_DIR: join(root, 'tools'),
  OUTRIGGER_NIX_DIR: join(root, 'nix'),
  PATH: `${root}/bin:/usr/bin:/bin`,
});

const take = async (environment: Record<string, string> = {}): Promise<Finished> => {
  const finished = await run('sh', [script], {
    cwd: root,
    environment: { ...places(), FOLDER_BASE64: base64(repository), NIX_WAIT_SECONDS: '0', ...environment },
  });
  expect(finished).toMatchObject({ code: 0, stderr: '' });
  return finished;
};
const cloned = (text: string): void => {
  for (const path of [join(repository, 'workspace.nix'), join(state, 'repository.nix')]) writeFileSync(path, text);
};
const shown = (): string => readFileSync(join(workspace, '.outrigger/workspace.nix'), 'utf8');
/** What the bridge is told; empty where there is nothing to tell. */
const told = (): string => readFileSync(join(root, 'nix/var/outrigger/environment.json'), 'utf8');
const behindEnter = async (...command: string[]): Promise<string> =>
  (await run('sh', [enter, ...command], { environment: places() })).stdout;

describeNix('modules/workspace/nix.sh', () => {
  it('puts the tools of workspace.nix into every shell, behind /tools (part of P-29)', async () => {
    cloned(fixture);

    await take();

    expect(await behindEnter('rustc')).toBe('from nix\n');
    expect(await behindEnter('sh', '-c', 'echo "$PATH"')).toMatch(
      new RegExp(`^${root}/tools:${root}/nix/bin:/nix/store/x/bin:.*/usr/bin`),
    );
    for (const shell of [
      ['bash', '-ic'],
      ['bash', '-lc'],
      ['zsh', '-c'],
      ['dash', '-lc'],
    ]) {
      if (!existsSync(`/bin/${shell[0] ?? ''}`)) continue;
      expect([shell, (await run('env', [...shell, 'rustc'], { environment: places() })).stdout]).toEqual([
        shell,
        'from nix\n',
      ]);
    }
  });

  it("P-33 leaves a preset's tools as they are, and puts those of a custom text before them, the owner's first", async () => {
    writeFileSync(join(root, 'bin/rustc'), '#!/bin/sh\necho from the preset\n', { mode: 0o755 });
    await take();
    expect(await behindEnter('rustc')).toBe('from the preset\n');

    cloned('the repository’s');
    await take({ NIX_CONFIG_BASE64: base64('the owner’s') });

    expect(readFileSync(join(root, 'evaluated'), 'utf8')).toBe('the owner’s');
    expect(shown()).toBe('the owner’s');
    expect(await behindEnter('rustc')).toBe('from nix\n');
    for (const { name, json } of templates.map((entry) => ({ name: entry.name, json: synthesizeTemplate(entry) }))) {
      const { coder_parameter: form, coder_workspace_preset: presets } = json['data'] as Record<string, object>;
      expect([name, Object.keys(presets ?? {})]).toEqual([name, expect.arrayContaining(['node', 'nix'])]);
      // The text is the owner's beside whatever preset they began with.
      expect([name, JSON.stringify(presets).includes('nix_config')]).toEqual([name, false]);
      expect(Object.keys(form ?? {})).toContain('nix_config');
    }
  });

  it('P-31 shows the text beside the repository and leaves the repository as it is', async () => {
    cloned(fixture);
    const git = (...argv: string[]): string =>
      execFileSync('git', ['-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...argv], {
        encoding: 'utf8',
      });
    git('add', '.');
    git('commit', '--quiet', '-m', 'first');

    await take({ NIX_CONFIG_BASE64: base64('mine') });

    expect(git('status', '--porcelain', '--ignored')).toBe('');
    expect(readFileSync(join(repository, 'workspace.nix'), 'utf8')).toBe(fixture);
    expect(shown()).toBe('mine');
    expect(readdirSync(join(workspace, '.outrigger'))).toEqual(['workspace.nix']);
  });

  it("names the text WORKSPACE_NIX and never NIX_CONFIG, which is Nix's own (part of P-30)", async () => {
    answer({ NIX_CONFIG: { type: 'exported', value: 'x' } });
    const text = "{ a = ''it's\n$(touch pwned)''; }";

    await take({ NIX_CONFIG_BASE64: base64(text), NIX_CONFIG: 'the old name' });

    expect(readFileSync(join(root, 'environment'), 'utf8')).not.toMatch(/^NIX_CONFIG=/m);
    expect(await behindEnter('printenv', 'WORKSPACE_NIX')).toBe(`${text}\n`);
    expect(await behindEnter('printenv', 'WORKSPACE_NIX_FILE')).toBe(`${workspace}/.outrigger/workspace.nix\n`);
    expect(await behindEnter('printenv', 'NIX_CONFIG')).toBe('');
  });

  it('warns of a part at its end of life, and only of such (part of P-28)', async () => {
    cloned(fixture);
    expect((await take()).stdout.match(/warning: .*/g)).toEqual([
      'warning: nodejs-18_x is at its end of life and gets no more fixes. Use nodejs_22 or newer.',
    ]);

    cloned('[ nodejs_22 nodejs_180 ] # nodejs_24\n# nodejs_16');
    expect((await take()).stdout).not.toContain('warning');
  });

  it('asks Nix for the file that it keeps itself', async () => {
    cloned(fixture);
    await take();

    const argv = readFileSync(join(root, 'argv'), 'utf8').trim().split('\n');
    expect(argv).toEqual([
      '--extra-experimental-features',
      'nix-command',
      'print-dev-env',
      '--json',
      '--file',
      join(state, 'workspace.nix'),
    ]);
  });

  it('has nothing to do without a workspace.nix, and says that an image has no Nix only to who asked for it', async () => {
    expect((await take()).stdout).toContain('there is no workspace.nix');
    const PATH = pathWithoutNix();
    expect((await take({ PATH })).stdout).toBe('');
    expect((await take({ PATH, NIX_CONFIG_BASE64: base64('x') })).stdout).toContain('there is no nix in this image');
  });
});

describeNix('a workspace.nix that cannot be used', () => {
  const failing = `echo "warning: something" >&2
printf 'error: \\033[31mundefined variable rusct\\033[0m\\n\\n       at /x:1:1:\\n' >&2
exit 1`;

  it('costs one clear line; the workspace starts as its image made it', async () => {
    cloned(fixture);
    await take();
    nix(failing);

    const { stdout } = await take();

    expect(stdout.trim().split('\n').at(-1)).toMatch(
      /^nix: the repository's workspace\.nix cannot be used: .*undefined variable rusct.* The workspace starts without it\.$/,
    );
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
    expect(readdirSync(state)).not.toContain('nix-env');
    expect(told()).toBe('');
    expect(await behindEnter('sh', '-c', 'command -v rustc || echo none')).not.toContain(root);
  });

  it.each(['not json', '{}', '{"variables":{}}'])('is the same when Nix answers %s', async (text) => {
    cloned(fixture);
    nix(`printf '%s' '${text}'`);

    expect((await take()).stdout).toContain('could not be read. The workspace starts without it.');
    expect(readdirSync(state).sort()).toEqual(['repository.nix', 'workspace.nix']);
  });

  it('does not haunt a workspace whose Nix store is gone', async () => {
    cloned(fixture);
    await take();
    rmSync(join(root, 'nix'), { recursive: true });

    expect(await behindEnter('sh', '-c', 'echo "$PATH"')).not.toContain('/nix/');
  });
});

describeNix('what the agent can do with workspace.nix', () => {
  it('does not reach the person: a file that was written after the clone waits until the person copies it', async () => {
    cloned(fixture);
    writeFileSync(join(repository, 'workspace.nix'), 'evil');

    const { stdout } = await take();

    expect(stdout).toContain('is not the one that was cloned');
    expect(stdout).toContain(`cp ${repository}/workspace.nix ${state}/repository.nix`);
    expect(readFileSync(join(root, 'evaluated'), 'utf8')).toBe(fixture);

    rmSync(join(state, 'repository.nix'));
    rmSync(join(root, 'evaluated'));
    await take();
    expect(existsSync(join(root, 'evaluated'))).toBe(false);
  });

  it('is to have the same tools, from a file in the store, which only the worker can write (part of P-29)', async () => {
    answer({ RUST_SRC_PATH: { type: 'exported', value: '/nix/src' }, LD_PRELOAD: { type: 'exported', value: 'evil' } });
    cloned(fixture);
    await take();

    expect(JSON.parse(told())).toEqual({
      path: [`${root}/nix/bin`, '/nix/store/x/bin'],
      variables: {
        name: 'nix-shell',
        RUST_SRC_PATH: '/nix/src',
        WORKSPACE_NIX: fixture.trimEnd(),
        WORKSPACE_NIX_FILE: `${workspace}/.outrigger/workspace.nix`,
      },
    });
  });

  it('is not to wait for tools that will never be there', async () => {
    await take();
    expect(told()).toBe('');

    rmSync(join(root, 'bin/nix'));
    rmSync(join(root, 'nix/var'), { recursive: true });
    await take();
    expect(told()).toBe('');
  });

  it('and a store that cannot be written cost the person nothing', async () => {
    cloned(fixture);

    const { stdout } = await take({ OUTRIGGER_NIX_DIR: '/dev/null' });

    expect(stdout).toContain('/dev/null/var/outrigger cannot be written, so the agent has none of these tools.');
    expect(await behindEnter('rustc')).toBe('from nix\n');
  });

  it('is not to write through a link', async () => {
    cloned(fixture);
    writeFileSync(join(home, '.bashrc'), 'mine\n');
    mkdirSync(join(workspace, '.outrigger'));
    symlinkSync(join(home, '.bashrc'), join(workspace, '.outrigger/workspace.nix'));
    await take();
    expect(readFileSync(join(home, '.bashrc'), 'utf8')).toMatch(/^mine\n/);
    expect(shown()).toBe(fixture);

    rmSync(join(workspace, '.outrigger'), { recursive: true });
    symlinkSync(home, join(workspace, '.outrigger'));
    expect((await take()).stdout).toContain('is no folder that can be written');
    expect(readdirSync(home)).not.toContain('workspace.nix');

    rmSync(join(workspace, '.outrigger'));
    writeFileSync(join(workspace, '.outrigger'), '');
    expect((await take()).stdout).toContain('is in force in every new shell');
  });

  it('is not to hold the person up by a FIFO that is put in the way meanwhile', async () => {
    cloned(fixture);
    program('bin/rm', `/bin/rm "$@"; for last; do :; done; case $last in .nix.*) mkfifo "$last" ;; esac`);
    program('bin/cmp', `/bin/rm "$2"; mkfifo "$2"; exec /usr/bin/cmp "$@"`);
    // A second is enough to see it.
    program('bin/timeout', `limit=$1; shift; [ "$1" != cmp ] || limit=1; exec /usr/bin/timeout "$limit" "$@"`);

    const { stdout } = await take();

    expect(stdout).toContain('is not the one that was cloned');
    expect(shown()).toBe(fixture);
    expect(readdirSync(join(workspace, '.outrigger'))).toEqual(['workspace.nix']);
  });

  it('is not to write through a link that takes the place of the folder after it was looked at', async () => {
    cloned(fixture);
    const folder = join(workspace, '.outrigger');
    program(
      'tools/opencode',
      `[ -z "\${SHOWN_NAME:-}" ] || { mv '${folder}' '${folder}.old'; ln -s '${home}' '${folder}'; }
exec '${binary}' "$@"`,
    );

    await take();

    expect(readdirSync(home)).not.toContain('workspace.nix');
    expect(readFileSync(join(`${folder}.old`, 'workspace.nix'), 'utf8')).toBe(fixture);
  });

  it('is neither to run a hook nor to change how the programs of the person start', async () => {
    const hostile = ['BASH_ENV', 'LD_PRELOAD', 'GIT_SSH_COMMAND', 'NODE_OPTIONS', 'HOME', 'CODER_AGENT_TOKEN', 'PS1'];
    answer({
      ...Object.fromEntries(hostile.map((name) => [name, { type: 'exported', value: 'evil' }])),
      shellHook: { type: 'exported', value: `touch '${root}/pwned'` },
      quoted: { type: 'exported', value: `'; touch '${root}/pwned'; '` },
      'a b; touch pwned': { type: 'exported', value: 'x' },
      unexported: { type: 'var', value: 'x' },
      RUST_SRC_PATH: { type: 'exported', value: '/nix/src' },
    });
    cloned(fixture);

    await take();

    const found = await behindEnter('env');
    expect(found).toMatch(/^RUST_SRC_PATH=\/nix\/src$/m);
    expect(found).not.toMatch(/evil|unexported/);
    expect(existsSync(join(root, 'pwned'))).toBe(false);
  });
});

describeNix('a repository that could not be cloned', () => {
  it('is waited for only until the clones of this start have ended', async () => {
    const missing = join(workspace, 'missing');
    const environment = { FOLDER_BASE64: base64(missing), CODER_AGENT_TOKEN: 'canarytokenofthisstart' };
    program('bin/sleep', `echo slept >> '${root}/slept'`);
    const ended = await run('sh', [clone], {
      environment: { ...places(), ...environment, GIT_REPO: join(root, 'missing'), GIT_CLONE_RETRIES: '1' },
    });
    expect(ended.code).toBe(1);

    expect((await take({ ...environment, NIX_WAIT_SECONDS: '3' })).stdout).toContain('there is no workspace.nix');
    expect(existsSync(join(root, 'slept'))).toBe(false);

    await take({ ...environment, NIX_WAIT_SECONDS: '3', CODER_AGENT_TOKEN: 'canarytokenofthenext' });
    expect(readFileSync(join(root, 'slept'), 'utf8')).toBe('slept\n'.repeat(3));
  });
});

describeNix('the shells of a workspace with workspace.nix', () => {
  it('are told once, so that whoever takes the line out is left in peace', async () => {
    cloned(fixture);
    await take();
    expect(readFileSync(join(home, '.zshenv'), 'utf8')).toContain('nix-env');

    writeFileSync(join(home, '.zshenv'), 'mine\n');
    await take();
    expect(readFileSync(join(home, '.zshenv'), 'utf8')).toBe('mine\n');
  });
});
