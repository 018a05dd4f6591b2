import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { GitFacts, Status } from '../../../../modules/contract.ts';
import { parseStatus, readGitFacts } from '../../../../modules/opencode/bridge/git-facts.ts';
import { makeOwnGit } from '../../../../modules/opencode/bridge/own-git.ts';
import type { Log } from '../../../../modules/opencode/bridge/log.ts';
import {
  aLease,
  installTools,
  makeWorkspace,
  readIfThere,
  until,
  type TestWorkspace,
  type Tools,
} from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

const path = process.env['PATH'] ?? '';
const quiet: Log = () => undefined;

describe('what is known of a repository', () => {
  let workspace: TestWorkspace;
  beforeEach(() => {
    workspace = makeWorkspace();
  });
  afterEach(() => workspace.remove());

  const read = (repositoryDir: string | null = null): Promise<GitFacts | null> => {
    const git = makeOwnGit({ agentDir: workspace.agentDir, path, spared: new Set(), log: quiet });
    return readGitFacts({ git, gitRoot: workspace.directory, repositoryDir });
  };
  const withUpstream = (): void => {
    workspace.git('branch', 'upstream');
    workspace.git('branch', '--set-upstream-to=upstream');
  };

  it('is the branch, how far it is from its upstream, and whether anything is uncommitted', async () => {
    withUpstream();
    const seen = [await read()];
    workspace.git('commit', '--quiet', '--allow-empty', '-m', 'mine');
    workspace.git('commit', '--quiet', '--allow-empty', '-m', 'mine too');
    seen.push(await read());
    workspace.git(
      'update-ref',
      'refs/heads/upstream',
      workspace.git('commit-tree', '-m', 'theirs', '-p', 'upstream', 'HEAD^{tree}'),
    );
    seen.push(await read());
    writeFileSync(join(workspace.repository, 'scratch.txt'), 'new\n');
    seen.push(await read());

    expect(seen).toEqual([
      { branch: 'main', ahead: 0, behind: 0, dirty: false },
      { branch: 'main', ahead: 2, behind: 0, dirty: false },
      { branch: 'main', ahead: 2, behind: 1, dirty: false },
      { branch: 'main', ahead: 2, behind: 1, dirty: true },
    ]);
  });

  it('has no branch where HEAD is on none, and is null where there is no repository or more than one', async () => {
    workspace.git('checkout', '--quiet', '--detach');
    const detached = await read();
    mkdirSync(join(workspace.directory, 'other', '.git'), { recursive: true });
    const several = await read();
    const named = await read(workspace.repository);
    rmSync(workspace.repository, { recursive: true });
    rmSync(join(workspace.directory, 'other'), { recursive: true });

    expect(detached).toEqual({ branch: null, ahead: 0, behind: 0, dirty: false });
    expect(several).toBeNull();
    expect(named).toEqual(detached);
    expect(await read()).toBeNull();
  });

  it('is found without a write to the repository, and without running what its config names', async () => {
    const marker = join(workspace.directory, 'pwned');
    const evil = join(workspace.directory, 'evil.sh');
    writeFileSync(evil, `#!/bin/sh\ntouch ${marker}\ncat\n`, { mode: 0o755 });
    for (const [name, value] of [
      ['core.fsmonitor', evil],
      ['filter.evil.clean', evil],
      ['filter.evil.process', evil],
      ['diff.external', evil],
    ] as const)
      workspace.git('config', name, value);
    writeFileSync(join(workspace.repository, '.git/info/attributes'), '* filter=evil\n');
    // The same length, so that git has to read the file; and an index that git would refresh if it might.
    writeFileSync(join(workspace.repository, 'README.md'), 'HELLO\n');
    const index = join(workspace.repository, '.git', 'index');
    const before = { ...statSync(index), bytes: readFileSync(index) };

    expect(await read()).toMatchObject({ branch: 'main', dirty: true });
    expect(existsSync(marker)).toBe(false);
    expect({ ...statSync(index), bytes: readFileSync(index) }).toMatchObject({
      ino: before.ino,
      mtimeMs: before.mtimeMs,
      bytes: before.bytes,
    });
    expect(existsSync(`${index}.lock`)).toBe(false);
  });

  it('shows a branch name without what could move a cursor or turn text around, and cut where it is long', () => {
    const facts = parseStatus(`# branch.oid 1\0# branch.head a\u001b[2J\u202eb${'x'.repeat(300)}\0`);

    expect(facts.branch).toBe(`a\u{FFFD}[2J\u{FFFD}b${'x'.repeat(193)}`);
  });

  it('is not looked for where the bridge finds no place for its git, and says so', async () => {
    const lines: string[] = [];
    const git = makeOwnGit({
      agentDir: join(workspace.directory, 'missing'),
      path,
      spared: new Set(),
      log: (level, message) => void lines.push(`${level} ${message}`),
    });

    await expect(git(['status'], { directory: workspace.repository })).rejects.toThrow('ENOENT');
    expect(lines).toEqual([expect.stringContaining('no place for its own git')]);
  });
});

describe('status.json of a running bridge', () => {
  let tools: Tools;
  let world: World;
  let runDir: string;
  beforeAll(async () => {
    tools = await installTools();
  });
  afterAll(() => tools.remove());
  beforeEach(async () => {
    runDir = mkdtempSync(join(tmpdir(), 'outrigger-run-'));
    chmodSync(runDir, 0o777);
    world = await startWorld({ tools, environment: () => ({ OUTRIGGER_RUN_DIR: runDir }) });
  });
  afterEach(async () => {
    const left = await world.end();
    rmSync(runDir, { recursive: true, force: true });
    expect(left).toEqual([]);
  });

  const status = (): Status | null => {
    const text = readIfThere(join(runDir, 'status.json'));
    return text === null ? null : (JSON.parse(text) as Status);
  };

  it('tells the repository’s state, and in words what the agent does', async () => {
    const { service } = world;
    const facts = await until('facts of the repository', () => status()?.git);
    const idle = status()?.doing;
    const lease = aLease('SCENARIO:bash ARG:echo canaryprompt', { title: 'canarytitle' });
    service.offer(lease);
    const ask = await until('the ask', () => service.asks[0]);
    await until('the wait to be told', () => status()?.doing === 'Waiting for a decision');
    const asking = JSON.stringify(status());
    await service.decide(ask, 'once');
    await until('the result', () => service.resultOf(lease));
    await until('the agent to be idle again', () => status()?.state === 'idle');

    expect(facts).toEqual({ branch: 'main', ahead: 0, behind: 0, dirty: false });
    expect(idle).toBe('Waiting for work');
    expect(asking).not.toContain('canary');
    expect(status()?.doing).toBe('Waiting for work');
  });

  it('tells the repository’s new state after an attempt, without waiting for the next look', async () => {
    const { service, workspace } = world;
    await until('the first facts', () => status()?.git);
    const lease = aLease('SCENARIO:write ARG:one.txt|1\n');
    service.offer(lease);
    await until('the attempt to run', () => status()?.state === 'running');
    writeFileSync(join(workspace.repository, 'scratch.txt'), 'mine\n');
    await until('the result', () => service.resultOf(lease));

    await until('the new facts', () => status()?.git?.dirty === true);
  });

  it('says in its first lines how far the start has come', async () => {
    await until('the bridge to be ready', () => world.bridge.lines.some((line) => line.includes('ready for work')));

    const messages = world.bridge.lines.map((line) => (JSON.parse(line) as { message: string }).message);
    expect(messages.filter((message) => !message.startsWith('start the bridge'))).toEqual([
      'bridge starting',
      'OpenCode found',
      'bridge started',
      'registered',
      'connected to the service',
      'ready for work',
    ]);
    expect(Math.max(...world.bridge.lines.map((line) => line.length))).toBeLessThan(300);
  });
});
