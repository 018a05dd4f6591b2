import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneScriptUrl } from '../../../modules/workspace/clone-repository.ts';
import { until } from '../../support/bridge/bridge-process.ts';
import { run, type Finished } from '../../support/terraform/terraform.ts';
import { startGitServer, type GitServer } from './git-server.ts';

const script = fileURLToPath(cloneScriptUrl);
let root: string;
let workspace: string;
let state: string;
let runDir: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-clone-'));
  workspace = join(root, 'workspace');
  state = join(root, 'state');
  runDir = join(root, 'run');
  for (const directory of [workspace, runDir]) mkdirSync(directory);
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

/** Runs the script as the workspace agent does, with what the owner typed. */
const clone = async (repository: string, ref = '', environment: Record<string, string> = {}): Promise<Finished> =>
  await run('sh', [script], {
    cwd: root,
    environment: {
      REPOSITORY_BASE64: Buffer.from(repository).toString('base64'),
      REF_BASE64: Buffer.from(ref).toString('base64'),
      WORKSPACE_DIR: workspace,
      CLONE_STATE_DIR: state,
      OUTRIGGER_RUN_DIR: runDir,
      GIT_CLONE_RETRY_DELAY: '0s',
      ...environment,
    },
  });

function makeRepository(name: string): string {
  const path = join(root, name);
  const git = (...argv: string[]): void => {
    execFileSync('git', ['-C', path, '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...argv], {
      stdio: 'ignore',
    });
  };
  mkdirSync(path);
  git('init', '--quiet', '--initial-branch=main');
  writeFileSync(join(path, 'README'), 'main\n');
  git('add', '.');
  git('commit', '--quiet', '-m', 'first');
  git('checkout', '--quiet', '-b', 'feature/x');
  writeFileSync(join(path, 'README'), 'feature\n');
  git('commit', '--quiet', '-am', 'second');
  git('checkout', '--quiet', 'main');
  return path;
}

/** A `git` that writes down its arguments and fails. */
function failingGit(): Record<string, string> {
  const bin = join(root, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'git'), `#!/bin/sh\nprintf '%s\\n' "$*" >> '${join(root, 'argv')}'\nexit 128\n`, {
    mode: 0o755,
  });
  return { PATH: `${bin}:${process.env.PATH ?? ''}` };
}

describe('modules/workspace/clone.sh', () => {
  it('P-42 clones into a folder named after the repository, on the branch that was asked for', async () => {
    const finished = await clone(makeRepository('project.git'), 'feature/x');

    expect(finished.code).toBe(0);
    expect(readFileSync(join(workspace, 'project', 'README'), 'utf8')).toBe('feature\n');
    expect(readdirSync(workspace)).toEqual(['project']);
    expect(readdirSync(state)).toEqual(['cloned-project']);
  });

  it('P-42 leaves a folder that holds something alone and runs no git in it', async () => {
    mkdirSync(join(workspace, 'project/.git'), { recursive: true });

    const finished = await clone('https://git.example.com/project.git', '', failingGit());

    expect(finished.stdout).toContain('is left alone');
    expect(finished.code).toBe(0);
    expect(existsSync(join(root, 'argv'))).toBe(false);
  });

  it('does not follow a link that the agent left where the clone should go', async () => {
    const home = join(root, 'home');
    mkdirSync(home);
    symlinkSync(join(home, 'gone'), join(workspace, 'project'));

    const finished = await clone(makeRepository('project.git'));

    expect(finished.stdout).toContain('is left alone');
    expect(readdirSync(home)).toEqual([]);
  });

  it('P-42 clones once in the life of a workspace', async () => {
    const repository = makeRepository('project.git');
    await clone(repository);
    rmSync(join(workspace, 'project'), { recursive: true });

    const finished = await clone(repository);

    expect(finished.stdout).toContain('was cloned before');
    expect(readdirSync(workspace)).toEqual([]);
  });

  it('tries three times, then fails and leaves nothing behind', async () => {
    const finished = await clone('https://git.example.com/project.git', '', failingGit());

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('3 tries failed');
    expect(readFileSync(join(root, 'argv'), 'utf8').trim().split('\n')).toHaveLength(3);
    expect(readdirSync(workspace)).toEqual([]);
    expect(readdirSync(state)).toEqual([]);
  });

  it('P-42 passes what the owner typed as one argument, behind the end of the options', async () => {
    const hostile = '$(touch pwned); `touch pwned` "quoted" \'x\'/project.git';

    await clone(hostile, '', failingGit());

    expect(readFileSync(join(root, 'argv'), 'utf8')).toContain(` -- ${hostile} `);
    expect(readdirSync(root)).not.toContain('pwned');
  });

  it.each([
    ['a token in the address', 'https://token@git.example.com/a.git', '', 'holds a user name or token'],
    ['an option in place of the address', '--upload-pack=/bin/sh', '', 'begins with a dash'],
    ['an option in place of the branch', 'https://git.example.com/a.git', '--orphan', 'begins with a dash'],
    ['a token behind the address', 'https://git.example.com/a.git?token=token@', '', 'holds a user name or token'],
    ['a question behind the address', 'https://git.example.com/a.git?private=token', '', 'where tokens are found'],
    ['a repository named ..', 'https://git.example.com/..', '', 'no usable name'],
    ['a repository named like a hidden file', 'https://git.example.com/.ssh', '', 'no usable name'],
  ])('refuses %s before git sees it', async (_what, repository, ref, message) => {
    const finished = await clone(repository, ref, failingGit());

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain(message);
    expect(finished.stderr).not.toMatch(/token@|=token/);
    expect(existsSync(join(root, 'argv'))).toBe(false);
  });

  it('says so when there is no such branch, and leaves nothing behind', async () => {
    const finished = await clone(makeRepository('project.git'), 'nowhere');

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('there is no branch, tag or commit "nowhere"');
    expect(readdirSync(workspace)).toEqual([]);
  });

  it('begins with an empty workspace when no repository was chosen', async () => {
    expect(await clone('')).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(workspace)).toEqual([]);
  });

  it('fills an empty folder that was there before', async () => {
    mkdirSync(join(workspace, 'project'));

    expect((await clone(makeRepository('project.git'))).code).toBe(0);
    expect(readdirSync(join(workspace, 'project')).sort()).toEqual(['.git', 'README']);
  });

  it('P-42 tries as often as it is told, waits the time between that it is told, and refuses what is no number', async () => {
    const sleep = join(root, 'slept');
    const path = failingGit();
    writeFileSync(join(root, 'bin/sleep'), `#!/bin/sh\necho "$1" >> '${sleep}'\n`, { mode: 0o755 });
    const url = 'https://git.example.com/project.git';

    await clone(url, '', { ...path, GIT_CLONE_RETRIES: '4', GIT_CLONE_RETRY_DELAY: '7s' });
    expect(readFileSync(sleep, 'utf8')).toBe('7\n7\n7\n');

    rmSync(sleep);
    await clone(url, '', { ...path, GIT_CLONE_RETRY_DELAY: '' });
    expect(readFileSync(sleep, 'utf8')).toBe('5\n5\n');

    expect((await clone(url, '', { GIT_DEPTH: '1; id' })).stderr).toContain(
      "GIT_DEPTH is '1; id'. Give a whole number",
    );
  });

  it('C-09 reads GIT_REPO, its alias GITHUB_REPO and GIT_REF where the form gave nothing', async () => {
    const repository = makeRepository('project.git');
    const environment = { WORKSPACE_DIR: workspace, CLONE_STATE_DIR: state, OUTRIGGER_RUN_DIR: runDir };

    await run('sh', [script], { environment: { ...environment, GITHUB_REPO: repository, GIT_REF: 'HEAD' } });
    expect(readFileSync(join(workspace, 'project/README'), 'utf8')).toBe('main\n');

    await run('sh', [script], {
      environment: { ...environment, GIT_REPO: makeRepository('other'), GITHUB_REPO: repository, GIT_REF: 'feature/x' },
    });
    expect(readFileSync(join(workspace, 'other/README'), 'utf8')).toBe('feature\n');
  });
});

/** Those that are here and run the `cp` of PATH: a static busybox takes its own instead. */
const shells = ['sh', 'bash', 'busybox sh'].filter((shell) => {
  const [name = '', ...rest] = shell.split(' ');
  return spawnSync(name, [...rest, '-c', 'cp --version'], { encoding: 'utf8' }).stdout?.includes('coreutils');
});

describe('what modules/workspace/clone.sh tells the bridge', () => {
  const saidIn = (directory: string): string[] => readdirSync(directory);

  it.each([
    ['went well', () => makeRepository('project.git'), {}, 0],
    ['failed', () => join(root, 'missing'), {}, 1],
    ['was refused', () => '--upload-pack=id', {}, 1],
    ['was not asked for', () => '', {}, 0],
    ['could not begin, because a setting is bad', () => '', { GIT_DEPTH: 'x' }, 1],
    ['needed a list that cannot be read', () => '', { REPOS_JSON: 'x' }, 1],
  ])('is one empty file when a clone %s', async (_what, repository, environment, code) => {
    const finished = await clone(repository(), '', environment);

    expect(finished.code).toBe(code);
    expect(saidIn(runDir)).toEqual(['cloned']);
    expect(lstatSync(join(runDir, 'cloned'))).toMatchObject({ size: 0 });
  });

  it('is not said while a clone goes on, nor by one of several that has ended', async () => {
    const bin = join(root, 'bin');
    mkdirSync(bin);
    const seen = join(root, 'seen');
    writeFileSync(join(bin, 'git'), `#!/bin/sh\nls -A '${runDir}' >> '${seen}'\necho ran >> '${seen}'\nexit 128\n`, {
      mode: 0o755,
    });
    const path = { PATH: `${bin}:${process.env['PATH'] ?? ''}` };

    await clone('https://git.example.com/a.git', '', path);

    expect(readFileSync(seen, 'utf8')).toBe('ran\n'.repeat(3));
    expect(saidIn(runDir)).toEqual(['cloned']);
  });

  it.each(shells)(
    'is said by %s also when Coder ends a clone, and only after what the clone left in the workspace is gone',
    async (shell) => {
      const bin = join(root, 'bin');
      mkdirSync(bin);
      const copying = join(root, 'copying');
      // Stands still in the middle of the copy, as a large one would.
      writeFileSync(join(bin, 'cp'), `#!/bin/sh\ntouch '${copying}'\nexec sleep 300\n`, { mode: 0o755 });
      const child = spawn(shell.split(' ')[0] ?? '', [...shell.split(' ').slice(1), script], {
        detached: true,
        stdio: 'ignore',
        env: {
          ...process.env,
          PATH: `${bin}:${process.env['PATH'] ?? ''}`,
          HOME: root,
          GIT_REPO: makeRepository('project.git'),
          WORKSPACE_DIR: workspace,
          CLONE_STATE_DIR: state,
          OUTRIGGER_RUN_DIR: runDir,
        },
      });
      const ended = new Promise((settle) => child.once('exit', settle));
      await until('the copy', () => existsSync(copying));
      const before = saidIn(runDir);
      process.kill(-(child.pid ?? 0), 'SIGHUP');
      await ended;

      expect(before).toEqual([]);
      expect(saidIn(runDir)).toEqual(['cloned']);
      expect(readdirSync(workspace)).toEqual([]);
    },
  );

  it('touches nothing that a link of this name leads to, and waits for no FIFO', async () => {
    const victim = join(root, 'victim');
    writeFileSync(victim, 'mine');
    symlinkSync(victim, join(runDir, 'cloned'));
    await clone('');
    const afterLink = lstatSync(join(runDir, 'cloned')).isFile();
    rmSync(join(runDir, 'cloned'));
    execFileSync('mkfifo', [join(runDir, 'cloned')]);
    await clone('');

    expect(readFileSync(victim, 'utf8')).toBe('mine');
    expect([afterLink, lstatSync(join(runDir, 'cloned')).isFile()]).toEqual([true, true]);
  });

  it('changes nothing but a line where there is no such folder', async () => {
    const finished = await clone('', '', { OUTRIGGER_RUN_DIR: join(root, 'nowhere') });

    expect(finished).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('cannot be written') });
  });
});

describe('a worker that begins anew while an agent may be at work', () => {
  const token = { CODER_AGENT_TOKEN: 'canarytokenofthisstart' };
  const missing = (): string => join(root, 'project.git');
  /** The first run of a start, in which the clone did not come; from then on an agent may run. */
  const failedOnce = (): Promise<Finished> => clone(missing(), '', { ...token, GIT_CLONE_RETRIES: '1' });

  it('copies nothing beside it, whatever the agent did to the shared folder, and says what to do', async () => {
    await failedOnce();
    // The agent may make and remove everything there.
    rmSync(join(runDir, 'cloned'));
    makeRepository('project.git');
    const { code, stderr } = await clone(missing(), '', { ...token, ...failingGit() });

    expect([code, stderr]).toEqual([1, expect.stringContaining('Restart the workspace in Coder to clone it')]);
    expect(existsSync(join(root, 'argv'))).toBe(false);
    expect([readdirSync(workspace), readdirSync(runDir)]).toEqual([[], ['cloned']]);
  });

  it('clones at the next start, whose agent waits for it, and keeps no token', async () => {
    await failedOnce();
    makeRepository('project.git');
    const { code } = await clone(missing(), '', { CODER_AGENT_TOKEN: 'canarytokenofthenext' });

    expect(code).toBe(0);
    expect(readdirSync(workspace)).toEqual(['project']);
    expect(readdirSync(state).sort()).toEqual(['clone-ended', 'cloned-project']);
    expect(readFileSync(join(state, 'clone-ended'), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
  });

  it('clones again in the same start where the first run was killed, because no agent was told to begin', async () => {
    const bin = join(root, 'bin');
    mkdirSync(bin);
    const begun = join(root, 'begun');
    writeFileSync(join(bin, 'git'), `#!/bin/sh\ntouch '${begun}'\nexec sleep 300\n`, { mode: 0o755 });
    const environment = { ...token, WORKSPACE_DIR: workspace, CLONE_STATE_DIR: state, OUTRIGGER_RUN_DIR: runDir };
    const child = spawn('sh', [script], {
      detached: true,
      stdio: 'ignore',
      env: { ...environment, PATH: `${bin}:${process.env['PATH'] ?? ''}`, GIT_REPO: missing() },
    });
    const ended = new Promise((settle) => child.once('exit', settle));
    await until('the clone to begin', () => existsSync(begun));
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await ended;
    const told = readdirSync(runDir);
    makeRepository('project.git');

    expect(told).toEqual([]);
    expect((await clone(missing(), '', token)).code).toBe(0);
    expect(readdirSync(workspace)).toEqual(['project']);
  });

  it('tells no agent to begin where it could not remember that one may', async () => {
    writeFileSync(join(root, 'full'), '');
    const { stdout } = await clone('', '', { ...token, CLONE_STATE_DIR: join(root, 'full', 'state') });

    expect(stdout).toContain('clone-ended cannot be written, so the agent does not learn that it may begin');
    expect(readdirSync(runDir)).toEqual([]);
  });
});

describe('how much history modules/workspace/clone.sh brings', () => {
  const inClone = (...argv: string[]): string =>
    execFileSync('git', ['-C', join(workspace, 'project'), ...argv], { encoding: 'utf8' }).trim();
  /** A repository over a transport, with a tag and a commit that no branch ends with. */
  const remote = (): { url: string; old: string } => {
    const path = makeRepository('project');
    const git = (...argv: string[]): string =>
      execFileSync('git', ['-C', path, '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...argv], {
        encoding: 'utf8',
      }).trim();
    const old = git('rev-parse', 'HEAD');
    git('tag', 'v1');
    for (const text of ['second', 'third']) git('commit', '--quiet', '--allow-empty', '-m', text);
    return { url: `file://${path}`, old };
  };

  it('one commit of each branch by default, all of it with GIT_DEPTH=0', async () => {
    const { url } = remote();

    await clone(url);
    expect(inClone('log', '--format=%s')).toBe('third');
    expect(inClone('branch', '--remotes')).toContain('origin/feature/x');

    rmSync(join(workspace, 'project'), { recursive: true });
    rmSync(state, { recursive: true });
    await clone(url, '', { GIT_DEPTH: '0' });
    expect(inClone('log', '--format=%s')).toBe('third\nsecond\nfirst');
  });

  it.each(['a tag', 'a commit'])('and what it takes to check out %s', async (what) => {
    const { url, old } = remote();

    expect((await clone(url, what === 'a tag' ? 'v1' : old)).code).toBe(0);
    expect(inClone('rev-parse', 'HEAD')).toBe(old);
  });

  it('and submodules when GIT_RECURSE_SUBMODULES says so', async () => {
    const part = makeRepository('part');
    const { url } = remote();
    const local = { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'protocol.file.allow', GIT_CONFIG_VALUE_0: 'always' };
    const git = (...argv: string[]): void => {
      execFileSync(
        'git',
        ['-C', join(root, 'project'), '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...argv],
        {
          env: { ...process.env, ...local },
          stdio: 'ignore',
        },
      );
    };
    git('submodule', 'add', `file://${part}`, 'part');
    git('commit', '-m', 'with a part');

    await clone(url, '', local);
    expect(readdirSync(join(workspace, 'project/part'))).toEqual([]);

    rmSync(join(workspace, 'project'), { recursive: true });
    rmSync(state, { recursive: true });
    const finished = await clone(url, '', { ...local, GIT_RECURSE_SUBMODULES: 'true' });
    expect(finished).toMatchObject({ code: 0 });
    expect(readdirSync(join(workspace, 'project/part')).sort()).toEqual(['.git', 'README']);
    expect(inClone('submodule', 'status')).toMatch(/^[0-9a-f]{40} part/);
  });
});

describe('several repositories', () => {
  const binary = fileURLToPath(new URL('../../../node_modules/opencode-linux-x64/bin/opencode', import.meta.url));
  const withBinary = existsSync(binary) ? it : it.skip;
  const cloneList = async (list: unknown, repository = '', environment: Record<string, string> = {}) => {
    const tools = join(root, 'tools');
    mkdirSync(tools, { recursive: true });
    if (!existsSync(join(tools, 'opencode'))) symlinkSync(binary, join(tools, 'opencode'));
    const json = typeof list === 'string' ? list : JSON.stringify(list);
    return await clone(repository, '', {
      TOOLS_DIR: tools,
      REPOS_JSON_BASE64: Buffer.from(json).toString('base64'),
      ...environment,
    });
  };
  const found = (): string[] =>
    readdirSync(workspace, { recursive: true, encoding: 'utf8' })
      .filter((path) => /README$/.test(path))
      .map((path) => `${path}: ${readFileSync(join(workspace, path), 'utf8').trim()}`)
      .sort();

  withBinary('C-10 go beside the first one, each with its own branch and name', async () => {
    const [first, second] = ['first', 'second.git'].map((name) => `file://${makeRepository(name)}`);

    const finished = await cloneList(
      [
        { url: second, branch: 'feature/x', autoPush: true },
        { url: second, name: 'again' },
      ],
      first,
    );

    expect(finished).toMatchObject({ code: 0, stderr: '' });
    expect(found()).toEqual(['first/README: main', 'repos/again/README: main', 'repos/second/README: feature']);
  });

  withBinary.each([
    ['the first one', { MAIN_REPO_NAME: '', MAIN_REPO_INDEX: '' }, ['a/README: main', 'repos/b/README: main']],
    ['the one with MAIN_REPO_INDEX', { MAIN_REPO_INDEX: '1' }, ['b/README: main', 'repos/a/README: main']],
    ['the one with MAIN_REPO_NAME', { MAIN_REPO_NAME: 'b' }, ['b/README: main', 'repos/a/README: main']],
  ])('C-10 have %s where the agent works, when the form named none', async (_which, environment, expected) => {
    await cloneList([{ url: makeRepository('a') }, { url: makeRepository('b') }], '', environment);

    expect(found()).toEqual(expected);
  });

  withBinary(
    'C-10 have their main one where GIT_ROOT and GIT_WORKSPACE_DIR say, and a line that is no address is refused',
    async () => {
      const list = [{ url: makeRepository('a') }, { url: makeRepository('b') }];
      const environment = { MAIN_REPO_NAME: 'b', GIT_ROOT: join(workspace, 'src') };

      await cloneList(list, '', environment);
      expect(found()).toEqual(['src/b/README: main', 'src/repos/a/README: main']);

      rmSync(state, { recursive: true });
      const finished = await cloneList([...list, { url: 'https://git.example.com/c autopush=false' }], '', {
        ...environment,
        GIT_WORKSPACE_DIR: join(workspace, 'main'),
      });
      expect(found()).toContain('main/README: main');
      expect(finished).toMatchObject({ code: 1, stderr: expect.stringContaining('autoPush=false may follow') });
    },
  );

  withBinary('may have one name in different folders, and each is cloned once', async () => {
    for (const folder of ['a', 'b']) mkdirSync(join(root, folder));
    const [first, second] = ['a/project', 'b/project'].map((name) => `file://${makeRepository(name)}`);

    const finished = await cloneList([{ url: second, branch: 'feature/x' }], first);

    expect(finished).toMatchObject({ code: 0, stderr: '' });
    expect(found()).toEqual(['project/README: main', 'repos/project/README: feature']);
    expect(readdirSync(state).sort()).toEqual(['cloned-project', 'cloned-repos%project']);
    rmSync(join(workspace, 'repos/project'), { recursive: true });
    expect((await cloneList([{ url: second }], first)).stdout).toContain('project was cloned before');
    expect(found()).toEqual(['project/README: main']);
  });

  withBinary('cannot both go to one folder: the second is refused by name, at each start', async () => {
    for (const folder of ['a', 'b']) mkdirSync(join(root, folder));
    const list = ['a/project', 'b/project'].map((name) => ({ url: makeRepository(name) }));
    const nameless = ['https://git.example.com/..', 'https://git.example.com/..'].map((url) => ({ url }));

    for (const start of ['first', 'next']) {
      const finished = await cloneList([...list, ...nameless], makeRepository(start));

      expect(finished.code).toBe(1);
      expect(finished.stderr.match(/two repositories would go to .*/g)).toEqual([
        `two repositories would go to ${workspace}/repos/project, so only the first is cloned. Take one of them off the list.`,
      ]);
      expect(found()).toContain('repos/project/README: main');
    }
  });

  withBinary('are all tried, and one that cannot be had is named', async () => {
    const finished = await cloneList(
      [{ url: join(root, 'missing') }, { url: makeRepository('b') }],
      makeRepository('a'),
    );

    expect(finished.code).toBe(1);
    expect(found()).toEqual(['a/README: main', 'repos/b/README: main']);
  });

  withBinary('bring no command, option or path with them', async () => {
    const finished = await cloneList(
      [
        { url: '$(touch pwned)/x.git' },
        { url: '--upload-pack=id' },
        { url: makeRepository('a'), name: '../../out' },
        { url: makeRepository('b'), branch: '--orphan' },
      ],
      makeRepository('c'),
    );

    expect(finished.code).toBe(1);
    expect(found()).toEqual(['c/README: main']);
    expect(readdirSync(root)).not.toContain('pwned');
    expect(readdirSync(root)).not.toContain('out');
  });

  withBinary('do not follow a link that the agent put in place of their folder', async () => {
    mkdirSync(join(root, 'home'));
    symlinkSync(join(root, 'home'), join(workspace, 'repos'));

    const finished = await cloneList([{ url: makeRepository('b') }], makeRepository('a'));

    expect(finished.stderr).toContain('is a link and is not followed');
    expect(readdirSync(join(root, 'home'))).toEqual([]);
  });

  withBinary.each(['no json', '{}', '[{}]', '[{"url": 1}]', '["https://git.example.com/a"]'])(
    'are refused in one sentence when the list is %s',
    async (list) => {
      const finished = await cloneList(list);

      expect(finished).toMatchObject({ code: 1, stderr: expect.stringContaining('REPOS_JSON is not a list of') });
      expect(finished.stderr.trim().split('\n')).toHaveLength(1);
    },
  );
});

describe('a private repository', () => {
  const canary = 'ghp_canary0123456789abcdef';
  let server: GitServer;
  beforeEach(async () => {
    server = await startGitServer(root, 'oauth2', canary);
  });
  afterEach(async () => {
    await server.close();
  });

  /** Answers git's questions as the program does that Coder's agent sets. */
  const askpass = (): string => {
    const path = join(root, 'askpass');
    writeFileSync(
      path,
      `#!/bin/sh
cat /proc/$PPID/environ >> '${root}/environment'
case $1 in User*) echo oauth2 ;; *) cat '${root}/answer' ;; esac
`,
      {
        mode: 0o755,
      },
    );
    writeFileSync(join(root, 'answer'), canary);
    return path;
  };
  const filesBelow = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));

  it('is cloned with the person’s own sign-in; its token is in no address, file, log or environment (part of P-03)', async () => {
    makeRepository('private');
    const home = join(root, 'home');
    mkdirSync(home);
    // A helper that would keep the password for good.
    writeFileSync(join(home, '.gitconfig'), '[credential]\n\thelper = store\n');
    const answer = askpass();

    const finished = await clone(`${server.url}/private/.git`.replace('/.git', ''), 'feature/x', {
      HOME: home,
      GIT_ASKPASS: answer,
      GIT_TRACE_CURL: '1',
      GIT_CURL_VERBOSE: '1',
    });

    expect(finished).toMatchObject({ code: 0, stderr: '' });
    expect(server.admitted()).toBeGreaterThan(0);
    expect(readFileSync(join(workspace, 'private/README'), 'utf8')).toBe('feature\n');
    expect(finished.stdout).not.toContain(canary);
    const searched = [...[workspace, home, state].flatMap(filesBelow), join(root, 'environment')];
    expect(searched.length).toBeGreaterThan(10);
    for (const file of searched) {
      const text = readFileSync(file, 'latin1');
      expect(text.includes(canary) || text.includes(Buffer.from(`oauth2:${canary}`).toString('base64'))).toBe(false);
    }
    expect(readFileSync(join(workspace, 'private/.git/config'), 'utf8')).toContain(`url = ${server.url}/private\n`);
  });

  it('is named with what to do when nobody answers for it, without waiting at a terminal', async () => {
    makeRepository('private');

    const finished = await clone(`${server.url}/private`, '', { GIT_ASKPASS: '' });

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('sign in to its host in Coder under external authentication');
    expect(readdirSync(workspace)).toEqual([]);
  });
});
