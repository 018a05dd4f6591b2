import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { pathTraversal, toolLimits, type Profile, type RequestFrame } from '../../../../modules/contract.ts';
import { makeOwnGit } from '../../../../modules/opencode/bridge/own-git.ts';
import { runCommand } from '../../../../modules/opencode/bridge/runner-exec.ts';
import { makeBrake } from '../../../../modules/opencode/bridge/tools/brake.ts';
import { makeCommandTools } from '../../../../modules/opencode/bridge/tools/commands.ts';
import { makeFileTools } from '../../../../modules/opencode/bridge/tools/files.ts';
import { makeGitTools, type GitToolParts } from '../../../../modules/opencode/bridge/tools/git.ts';
import { makePlace } from '../../../../modules/opencode/bridge/tools/place.ts';
import { guardTools, tooFast, type ToolCommands } from '../../../../modules/opencode/bridge/tools/tools.ts';
import { wordsOf } from '../../../../modules/opencode/bridge/tools/words.ts';

let directory: string;
let workspace: string;
let tools: ToolCommands;
const pushes: Parameters<GitToolParts['push']>[0][] = [];
const path = process.env['PATH'] ?? '';

const write = (name: string, content: string | Buffer): void => {
  mkdirSync(dirname(join(workspace, name)), { recursive: true });
  writeFileSync(join(workspace, name), content);
};
const git = (...words: string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...words], {
    cwd: join(workspace, 'app'),
    stdio: 'pipe',
    encoding: 'utf8',
  }).trim();
const identity = { name: 'Ada Lovelace', email: 'ada@example.com' };

beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'outrigger-tools-')));
  workspace = join(directory, 'workspace');
  const [agentDir, toolsDir] = [join(directory, 'agent'), join(directory, 'tools')];
  for (const made of [workspace, agentDir, toolsDir, join(workspace, 'app')]) mkdirSync(made);
  writeFileSync(join(directory, 'secret'), 'outside');
  git('init', '-q', '-b', 'main');
  write('app/README.md', 'hello\n');
  git('add', '-A');
  git('commit', '-qm', 'first');
  const exec = (command: Parameters<typeof runCommand>[0]) => runCommand(command, new Set());
  const place = makePlace(workspace);
  tools = {
    ...makeFileTools(place),
    ...makeCommandTools({ place, exec, execApart: exec, environment: { PATH: path }, toolsDir }),
    ...makeGitTools({
      place,
      git: makeOwnGit({ agentDir, path, spared: new Set(), log: () => undefined }),
      gitRoot: workspace,
      repositoryDir: null,
      push: (what) => {
        pushes.push(what);
        return Promise.resolve(what.origin === '' ? null : { repository: 'forge.example/acme/app' });
      },
    }),
  };
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const session = (profile: Profile, approved?: boolean): ToolCommands =>
  guardTools(tools, {
    brake: () => true,
    grant: { profile, ...(approved === undefined ? {} : { approved }) },
  });
const call = async ({ type, payload }: Pick<RequestFrame, 'type' | 'payload'>, by = tools): Promise<unknown> =>
  await (by[type as keyof ToolCommands] as (value: unknown) => Promise<unknown>)(payload);

describe('P-65 readFile', () => {
  it('answers text as it is, and bytes that are no text as base64 with a flag', async () => {
    const bytes = Buffer.from([0, 255, 254, 10]);
    write('text.txt', '\uFEFFgrüße\r\n');
    write('image.png', bytes);
    write('latin', Buffer.from([0x6b, 0xe4]));

    expect(await tools.readFile({ path: 'text.txt' })).toBe('\uFEFFgrüße\r\n');
    expect(await tools.readFile({ path: join(workspace, 'text.txt') })).toBe('\uFEFFgrüße\r\n');
    expect(await tools.readFile({ path: 'image.png' })).toEqual({
      content: bytes.toString('base64'),
      encoding: 'base64',
    });
    expect(await tools.readFile({ path: 'latin' })).toMatchObject({ encoding: 'base64' });
  });

  it('refuses what is larger than 512 KiB, a folder, a FIFO and what is not there, each with its reason', async () => {
    write('large', Buffer.alloc(toolLimits.fileBytes + 1, 'a'));
    write('just', Buffer.alloc(toolLimits.fileBytes, 'a'));
    execFileSync('mkfifo', [join(workspace, 'fifo')]);
    const refusal = (name: string) => call({ type: 'readFile', payload: { path: name } }, session('read-only'));

    await expect(refusal('large')).rejects.toThrow(/large is larger than 512 KiB. Read a part of it/);
    await expect(refusal('app')).rejects.toThrow(/app is no file/);
    await expect(refusal('fifo')).rejects.toThrow(/fifo is no file/);
    await expect(refusal('nowhere')).rejects.toThrow(/nowhere is not there/);
    expect(await refusal('just')).toHaveLength(toolLimits.fileBytes);
  });
});

describe('P-66 writeFile', () => {
  it('makes the folders above, answers without data, and takes base64', async () => {
    expect(await tools.writeFile({ path: 'new/deep/file.txt', content: 'grüße' })).toBeUndefined();
    await tools.writeFile({ path: 'new/bytes', content: 'AP/+', encoding: 'base64' });

    expect(readFileSync(join(workspace, 'new/deep/file.txt'), 'utf8')).toBe('grüße');
    expect([...readFileSync(join(workspace, 'new/bytes'))]).toEqual([0, 255, 254]);
  });

  it('replaces a file in one step: who has it open reads the old one, its mode stays, nothing else is left', async () => {
    write('whole/script.sh', 'old');
    chmodSync(join(workspace, 'whole/script.sh'), 0o750);
    const before = statSync(join(workspace, 'whole/script.sh'));

    await tools.writeFile({ path: 'whole/script.sh', content: 'new' });

    const after = statSync(join(workspace, 'whole/script.sh'));
    expect([after.ino === before.ino, after.mode]).toEqual([false, before.mode]);
    expect(readdirSync(join(workspace, 'whole'))).toEqual(['script.sh']);
  });

  it('refuses a folder, a size over 512 KiB and what is no base64, and leaves what was there', async () => {
    write('kept/file', 'kept');
    const large = 'a'.repeat(toolLimits.fileBytes + 1);

    await expect(call({ type: 'writeFile', payload: { path: 'kept', content: '' } })).rejects.toThrow(/no file/);
    await expect(call({ type: 'writeFile', payload: { path: '.', content: '' } })).rejects.toThrow(/no file/);
    const over = { path: 'kept/file', content: large };
    await expect(call({ type: 'writeFile', payload: over }, session('trusted'))).rejects.toThrow(/larger than 512 KiB/);
    const bad = { path: 'kept/file', content: '%%%', encoding: 'base64' };
    await expect(call({ type: 'writeFile', payload: bad }, session('trusted'))).rejects.toThrow(/not valid base64/);
    await expect(
      call({ type: 'writeFile', payload: { path: 'kept/file/below', content: '' } }, session('trusted')),
    ).rejects.toThrow(/no folder/);
    expect(readFileSync(join(workspace, 'kept/file'), 'utf8')).toBe('kept');
  });
});

describe('P-67 listFiles', () => {
  it('answers names and which are folders, in order, and the workspace itself where no path is given', async () => {
    write('listed/b.txt', '');
    write('listed/a/inner', '');
    symlinkSync('a', join(workspace, 'listed/link'));

    expect(await tools.listFiles({ path: 'listed' })).toEqual([
      { name: 'a', isDirectory: true },
      { name: 'b.txt', isDirectory: false },
      { name: 'link', isDirectory: false },
    ]);
    expect(await tools.listFiles({})).toContainEqual({ name: 'app', isDirectory: true });
    await expect(call({ type: 'listFiles', payload: { path: 'listed/b.txt' } }, session('trusted'))).rejects.toThrow();
  });
});

describe('P-71 what leads out of the workspace', () => {
  beforeAll(() => {
    symlinkSync(join(directory, 'secret'), join(workspace, 'file-link'));
    symlinkSync(directory, join(workspace, 'folder-link'));
    symlinkSync('/nowhere/at/all', join(workspace, 'dangling'));
    symlinkSync('app', join(workspace, 'inside'));
  });
  const paths: readonly (readonly [string, string])[] = [
    ['dots', '../secret'],
    ['dots behind a folder', 'app/../../secret'],
    ['an absolute path', '/etc/passwd'],
    ['a path that only begins alike', '../workspace-two/secret'],
    ['a null byte', 'app/README.md\0.png'],
    ['a link to a file', 'file-link'],
    ['a link to a folder', 'folder-link/secret'],
    ['a link to a folder and dots', 'folder-link/workspace/../secret'],
  ];

  it.each(paths)('%s is refused by every tool that takes a path, with the literal answer', async (_title, name) => {
    const trusted = session('trusted');
    for (const [type, payload] of [
      ['readFile', { path: name }],
      ['writeFile', { path: name, content: 'x' }],
      ['writeFile', { path: `${name}/below`, content: 'x' }],
      ['listFiles', { path: name }],
      ['searchCode', { path: name, query: 'outside' }],
      ['gitCommit', { path: name, message: 'x', identity }],
      ['gitPush', { path: name }],
    ] as const) {
      const refused = await call({ type, payload }, trusted).catch((error: Error) => error.message);
      expect([type, refused]).toEqual([type, pathTraversal]);
    }
    expect(readFileSync(join(directory, 'secret'), 'utf8')).toBe('outside');
    expect(readdirSync(directory).sort()).toEqual(['agent', 'secret', 'tools', 'workspace']);
  });

  it('a link to nowhere is not written through, and one that stays inside is', async () => {
    await expect(
      call({ type: 'writeFile', payload: { path: 'dangling', content: '' } }, session('trusted')),
    ).rejects.toThrow(pathTraversal);
    await expect(
      call({ type: 'writeFile', payload: { path: 'dangling/below', content: '' } }, session('trusted')),
    ).rejects.toThrow(pathTraversal);
    await tools.writeFile({ path: 'inside/through.txt', content: 'x' });

    expect(lstatSync(join(workspace, 'dangling')).isSymbolicLink()).toBe(true);
    expect(existsSync(join(workspace, 'app/through.txt'))).toBe(true);
    rmSync(join(workspace, 'app/through.txt'));
  });

  it('whatever path is made up: nothing outside is read or written', async () => {
    const part = fc.constantFrom(
      '..',
      '.',
      'app',
      'folder-link',
      'file-link',
      'inside',
      'new',
      '',
      '/',
      'secret',
      '\0',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 7 }), async (parts) => {
        const name = parts.join('/');
        const read = await call({ type: 'readFile', payload: { path: name } }, session('trusted')).catch(() => '');
        await call({ type: 'writeFile', payload: { path: `${name}/w`, content: 'w' } }, session('trusted')).catch(
          () => '',
        );
        expect(read).not.toBe('outside');
        expect(readdirSync(directory).sort()).toEqual(['agent', 'secret', 'tools', 'workspace']);
      }),
      { numRuns: 150 },
    );
  });
});

describe('P-68 runCommand', () => {
  it('answers stdout, stderr and the exit code of one program, in the workspace', async () => {
    const script = 'echo out; echo err >&2; pwd; exit 3';
    expect(await tools.runCommand({ command: `sh -c '${script}'` })).toEqual({
      stdout: `out\n${workspace}\n`,
      stderr: 'err\n',
      exitCode: 3,
      truncated: false,
    });
  });

  it('says what was cut, and how it knows that a program is not there', async () => {
    const long = await tools.runCommand({ command: `head -c ${toolLimits.outputBytes + 10} /dev/zero` });
    expect([long.truncated, Buffer.byteLength(long.stdout)]).toEqual([true, toolLimits.outputBytes]);
    await expect(tools.runCommand({ command: 'no-such-program' })).rejects.toThrow(/no program no-such-program/);
    await expect(tools.runCommand({ command: 'true', timeoutSeconds: 301 })).rejects.toThrow(/from 1 to 300/);
  });

  it('ends the whole process group at its limit: 30 s, or what was asked for', async () => {
    const asked: unknown[] = [];
    const seen = makeCommandTools({
      place: makePlace(workspace),
      exec: () => Promise.reject(new Error('not for this')),
      execApart: (command) => {
        asked.push([command.timeout_ms, command.directory]);
        return runCommand({ ...command, timeout_ms: command.timeout_ms / 10 }, new Set());
      },
      environment: { PATH: path },
      toolsDir: directory,
    });
    const command = `sh -c 'echo begun; sh -c "sleep 97531 & sleep 97531"'`;

    expect(await seen.runCommand({ command })).toMatchObject({ stdout: 'begun\n', exitCode: 124 });
    await seen.runCommand({ command: 'true', timeoutSeconds: 7 });

    expect(asked).toEqual([
      [30_000, workspace],
      [7_000, workspace],
    ]);
    const left = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
    expect(left).not.toContain('sleep 97531');
  });
});

describe('P-69 searchCode', () => {
  it('answers what matches with its path, and nothing as success', async () => {
    write('searched/Button.tsx', 'export const Button = () => null;\n');

    expect(await tools.searchCode({ query: 'const Button', path: 'searched' })).toBe(
      `${workspace}/searched/Button.tsx:export const Button = () => null;\n`,
    );
    expect(await tools.searchCode({ query: 'nothing-like-it' })).toBe('');
    await expect(tools.searchCode({ query: '(' })).rejects.toThrow(/search failed/);
  });

  it.each(['"; touch x', "'; touch x #", '$(touch x)', '`touch x`', '--files', '-e x /etc', '| touch x'])(
    'takes %s for what it is',
    async (query) => {
      const made = (): string[] => readdirSync(workspace).filter((name) => name === 'x');
      await tools.searchCode({ query }).catch(() => '');

      expect(made()).toEqual([]);
      expect(existsSync('x')).toBe(false);
    },
  );

  it('gives ripgrep the query as one argument behind --, and no way to other settings', async () => {
    const ripgrep = join(directory, 'with-rg', 'rg');
    mkdirSync(dirname(ripgrep));
    writeFileSync(ripgrep, '#!/bin/sh\nfor word; do echo "$word"; done\n', { mode: 0o755 });
    const exec = (command: Parameters<typeof runCommand>[0]) => runCommand(command, new Set());
    const place = makePlace(workspace);
    const parts = { place, exec, execApart: exec, environment: { PATH: path }, toolsDir: dirname(ripgrep) };

    const seen = (await makeCommandTools(parts).searchCode({ query: '"; touch x' })).trim().split('\n');

    expect(seen.slice(-3)).toEqual(['--', '"; touch x', workspace]);
    expect(seen).toContain('--no-config');
    rmSync(dirname(ripgrep), { recursive: true });
  });
});

describe('P-70 what a profile allows', () => {
  const change: readonly Pick<RequestFrame, 'type' | 'payload'>[] = [
    { type: 'writeFile', payload: { path: 'by-profile', content: 'x' } },
    { type: 'runCommand', payload: { command: 'touch by-profile' } },
    { type: 'gitCommit', payload: { message: 'x', identity } },
    { type: 'gitPush', payload: {} },
  ];
  const names = ['writeFile', 'touch', 'gitCommit', 'gitPush'];
  const refusals = async (by: ToolCommands): Promise<unknown[]> =>
    Promise.all(change.map((frame) => call(frame, by).catch((error: Error) => error.message)));

  it('read-only changes nothing, and ask nothing that nobody approved', async () => {
    const refused = names.map((name) => `Command not allowed: ${name}`);
    expect(await refusals(session('read-only'))).toEqual(refused);
    expect(await refusals(session('read-only', true))).toEqual(refused);
    expect(await refusals(session('ask'))).toEqual(refused);
    expect(await refusals(session('no-such-profile' as Profile, true))).toEqual(refused);
    expect(existsSync(join(workspace, 'by-profile'))).toBe(false);
    expect(await session('read-only').listFiles({ path: 'app' })).toContainEqual({
      name: 'README.md',
      isDirectory: false,
    });
  });

  it('what was approved runs, once it is asked for', async () => {
    await session('ask', true).runCommand({ command: 'touch by-approval' });
    await session('trusted').writeFile({ path: 'by-trust', content: '' });
    expect([existsSync(join(workspace, 'by-approval')), existsSync(join(workspace, 'by-trust'))]).toEqual([true, true]);
  });

  it.each(['git status; rm -rf app', 'git status && rm x', 'cat `id`', 'cat $(id)', 'cat $HOME', 'ls | sh', 'ls > x'])(
    'runs no shell, so %s is refused whole',
    async (command) => {
      await expect(tools.runCommand({ command })).rejects.toThrow(/shell/);
      expect(existsSync(join(workspace, 'app/README.md'))).toBe(true);
    },
  );

  it('splits words as a shell does', () => {
    const cases: readonly (readonly [string, readonly string[]])[] = [
      ['git commit -m "two words"', ['git', 'commit', '-m', 'two words']],
      [`printf '%s\\n' 'a;b' "c|d" e\\ f`, ['printf', '%s\\n', 'a;b', 'c|d', 'e f']],
      ['echo "say \\"hi\\" for \\$5" \'\'', ['echo', 'say "hi" for $5', '']],
      ['a"b"\'c\'\\d', ['abcd']],
    ];
    for (const [command, words] of cases) expect(wordsOf(command)).toEqual(words);
    for (const bad of ['', '  ', 'a "b', "a 'b", '""', 'a \\']) expect(() => wordsOf(bad)).toThrow();
  });
});

describe('P-73 too many calls', () => {
  it('are answered with an error and not done, until the bucket has filled again', async () => {
    let nowMs = 0;
    const brake = makeBrake({ burst: 3, perSecond: 2, nowMs: () => nowMs });
    const slow = guardTools(tools, { brake });
    const all = await Promise.allSettled(
      [1, 2, 3, 4, 5].map((n) => slow.writeFile({ path: `flood/${n}`, content: '' })),
    );

    expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
    await expect(call({ type: 'listFiles', payload: {} }, slow)).rejects.toThrow(tooFast);
    expect(readdirSync(join(workspace, 'flood'))).toEqual(['1', '2', '3']);
    nowMs += 500;
    await slow.listFiles({});
    await expect(call({ type: 'listFiles', payload: {} }, slow)).rejects.toThrow(tooFast);
    // Another session has a bucket of its own.
    await guardTools(tools, { brake: makeBrake({ burst: 1, perSecond: 1, nowMs: () => nowMs }) }).listFiles({});
  });
});

describe('gitCommit and gitPush (part of P-43)', () => {
  it('commit whatever changed, in the name of the owner, with trailers at the end', async () => {
    git('clean', '-fdq');
    write('app/src/new.txt', 'new\n');
    write('app/README.md', 'changed\n');

    const made = await tools.gitCommit({
      message: 'Say it\n\nWith a body',
      identity,
      trailers: ['Agent-Command: 1f0c'],
    });

    expect(made).toEqual({ commit: git('rev-parse', 'HEAD'), branch: 'main', files: 2 });
    expect(git('log', '-1', '--format=%an <%ae>|%cn <%ce>|%s|%b|%(trailers:only)')).toBe(
      'Ada Lovelace <ada@example.com>|Ada Lovelace <ada@example.com>|Say it|With a body\n\nAgent-Command: 1f0c\n|Agent-Command: 1f0c',
    );
    await expect(tools.gitCommit({ message: 'again', identity })).rejects.toThrow(/Nothing has changed/);
  });

  it('take nothing from another folder that the repository names as its work tree', async () => {
    git('config', 'core.worktree', directory);
    for (const where of [{}, { path: 'app' }, { path: 'app/src' }])
      await expect(tools.gitCommit({ message: 'x', identity, ...where })).rejects.toThrow(/in no git repository/);
    git('config', '--unset', 'core.worktree');
    expect(git('status', '--porcelain')).toBe('');
  });

  it('start no program that the repository names', async () => {
    const marker = join(directory, 'workspace', 'ran');
    const program = join(directory, 'tools', 'planted');
    writeFileSync(program, `#!/bin/sh\ntouch ${marker}\ncat\n`, { mode: 0o755 });
    mkdirSync(join(workspace, 'app/.git/hooks'), { recursive: true });
    writeFileSync(join(workspace, 'app/.git/hooks/pre-commit'), `#!/bin/sh\ntouch ${marker}\n`, { mode: 0o755 });
    git('config', 'core.fsmonitor', program);
    git('config', 'filter.planted.clean', program);
    git('config', 'gpg.program', program);
    git('config', 'commit.gpgSign', 'true');
    write('app/.gitattributes', '*.txt filter=planted\n');
    write('app/more.txt', 'more\n');

    await tools.gitCommit({ message: 'Quietly', identity, path: 'app/src' });

    expect(existsSync(marker)).toBe(false);
    for (const name of ['core.fsmonitor', 'filter.planted.clean', 'gpg.program', 'commit.gpgSign'])
      git('config', '--unset', name);
  });

  it('push the commit to a branch over the broker, and say where nobody may push', async () => {
    await expect(tools.gitPush({})).rejects.toThrow(/may not push.*local branch/);
    git('remote', 'add', 'origin', 'https://forge.example/acme/app.git');
    const commit = git('rev-parse', 'HEAD');

    expect(await tools.gitPush({ branch: 'agent/mine' })).toEqual({
      repository: 'forge.example/acme/app',
      branch: 'agent/mine',
      commit,
    });
    expect(pushes.at(-1)).toEqual({
      path: join(workspace, 'app'),
      branch: 'agent/mine',
      commit,
      origin: 'https://forge.example/acme/app.git',
    });
    for (const branch of ['-f', '../x', 'a..b', '', 'a b', '+main'])
      await expect(tools.gitPush({ branch })).rejects.toThrow(/name of a branch/);
  });

  it.each([
    ['an empty message', { message: ' ', identity }],
    ['a name that holds another line', { message: 'x', identity: { name: 'a\nb', email: 'e' } }],
    ['no identity', { message: 'x' }],
    ['a trailer that is none', { message: 'x', identity, trailers: ['x\ny'] }],
  ])('refuse %s', async (_title, payload) => {
    write('app/refused.txt', String(Math.random()));
    await expect(call({ type: 'gitCommit', payload })).rejects.toThrow(/must (be|hold)/);
  });
});
