import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { join } from 'node:path';
import type { GitLimits } from '../../service/broker/git-call.ts';
import { flush, packet } from '../../service/broker/pkt-line.ts';
import { eventually } from '../support/clock.ts';
import { canary, startBroker, type BrokerHarness } from './broker-harness.ts';

let room: BrokerHarness;
beforeEach(async () => {
  room = await startBroker();
  await room.give({});
});
afterEach(() => room.close());

const must = async (folder: string, ...args: string[]): Promise<string> => {
  const { exit, text } = await room.git(folder, ...args);
  if (exit !== 0) throw new Error(`git ${args.join(' ')}: ${text}`);
  return text.trim();
};
const clone = async (): Promise<void> => {
  await must('.', 'clone', '--quiet', room.at('acme/app.git'), 'app');
};
const commit = async (name: string, content: string | Buffer = name): Promise<string> => {
  writeFileSync(join(room.folder, 'app', name), content);
  await must('app', 'add', '--all');
  await must('app', 'commit', '--quiet', '-m', name);
  return must('app', 'rev-parse', 'HEAD');
};
const atForge = (branch: string): string => room.forge.git('acme/app', 'rev-parse', branch);
const pushes = async () => (await room.audit()).filter(({ action }) => action === 'git.pushed');

function filesBelow(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}

describe('git through the broker', () => {
  it('clones, fetches and pushes to agent/* with the task’s token, and audits each push with its object ids', async () => {
    await clone();
    await must('app', 'checkout', '--quiet', '-b', 'agent/one');
    const first = await commit('first.txt');
    await must('app', 'push', 'origin', 'agent/one');
    expect(atForge('agent/one')).toBe(first);
    const second = await commit('second.txt');
    await must('app', 'push', 'origin', 'agent/one');
    expect(atForge('agent/one')).toBe(second);
    expect(await must('app', 'fetch', 'origin')).not.toContain('error');

    const zero = '0'.repeat(40);
    const { taskId, workspaceId, ownerId } = room.identity;
    const common = {
      actor: `bridge:${workspaceId}`,
      owner_id: ownerId,
      target_id: `${room.forge.host}/acme/app`,
    };
    const data = (from: string, to: string) => ({
      task_id: taskId,
      attempt: 1,
      credential: 'token-0',
      refs: `refs/heads/agent/one ${from}..${to}`,
    });
    expect(await pushes()).toMatchObject([
      { ...common, outcome: 'intent', data: data(zero, first) },
      { ...common, outcome: 'success', data: data(zero, first) },
      { ...common, outcome: 'intent', data: data(first, second) },
      { ...common, outcome: 'success', data: data(first, second) },
    ]);
    const opened = (await room.audit()).filter(({ action }) => action === 'git.opened');
    expect(opened.length).toBeGreaterThan(3);
    expect(opened.every(({ outcome }) => outcome === 'success')).toBe(true);
  });

  it('carries a push of many megabytes, and one from a shallow clone', async () => {
    await must('.', 'clone', '--quiet', '--depth=1', room.at('acme/app.git'), 'app');
    await must('app', 'checkout', '--quiet', '-b', 'agent/large');
    const large = await commit('large.bin', randomBytes(6 * 1024 * 1024));
    await must('app', 'push', 'origin', 'agent/large');
    expect(atForge('agent/large')).toBe(large);
    const more = await commit('more.bin', randomBytes(6 * 1024 * 1024));
    await must('app', 'push', 'origin', 'agent/large');
    expect(atForge('agent/large')).toBe(more);
  });

  it('lets a merge and twenty commits at once onto a branch that exists', async () => {
    await clone();
    await must('app', 'checkout', '--quiet', '-b', 'agent/one');
    await commit('a');
    await must('app', 'push', 'origin', 'agent/one');
    for (let index = 0; index < 20; index += 1) await commit('a', `${index}`);
    await must('app', 'checkout', '--quiet', '-b', 'side', 'main');
    await commit('b');
    await must('app', 'checkout', '--quiet', 'agent/one');
    await must('app', 'merge', '--quiet', '-m', 'merge', 'side');
    const head = await must('app', 'rev-parse', 'HEAD');
    await must('app', 'push', 'origin', 'agent/one');
    expect(atForge('agent/one')).toBe(head);
  });
});

describe('a push is refused, before a byte of it reaches the forge,', () => {
  const refused: [string, string[], RegExp][] = [
    ['to main', ['HEAD:refs/heads/main'], /main.*only agent\/\* can be pushed from here/],
    ['of a tag', ['HEAD:refs/tags/v1'], /v1.*only branches can be pushed/],
    ['with force', ['+HEAD~1:refs/heads/agent/one'], /agent\/one.*never force/],
    ['that replaces a branch by another line of work', ['+other:refs/heads/agent/one'], /agent\/one.*never force/],
    ['that deletes a branch', [':refs/heads/agent/one'], /agent\/one.*cannot be deleted/],
    ['that deletes main', [':refs/heads/main'], /main.*only agent\/\*/],
    ['of a good branch beside a bad one', ['HEAD:refs/heads/agent/two', 'HEAD:refs/heads/main'], /main.*only agent/],
    ['under a name like agent/*', ['HEAD:refs/heads/agents'], /agents.*only agent\/\*/],
  ];
  it.each(refused)('%s', async (_what, refspecs, words) => {
    await clone();
    await must('app', 'checkout', '--quiet', '-b', 'agent/one');
    await commit('a');
    await commit('b');
    await must('app', 'push', 'origin', 'agent/one');
    await must('app', 'checkout', '--quiet', '-b', 'other', 'main');
    await commit('c');
    await must('app', 'checkout', '--quiet', 'agent/one');
    const before = room.forge.git('acme/app', 'for-each-ref');
    const posts = (): number => room.forge.requests.filter(({ method }) => method === 'POST').length;
    const asked = posts();

    const { exit, text } = await room.git('app', 'push', 'origin', ...refspecs);

    expect(exit).not.toBe(0);
    expect(text).toMatch(words);
    expect(text).toMatch(/remote rejected/);
    expect(posts()).toBe(asked);
    expect(room.forge.git('acme/app', 'for-each-ref')).toBe(before);
    const last = (await pushes()).at(-1);
    expect(last).toMatchObject({ outcome: 'denied' });
    expect(last?.data['refs']).toMatch(/[0-9a-f]{40}\.\.[0-9a-f]{40}/);
  });

  it('with options, which can make a forge merge', async () => {
    await clone();
    room.forge.git('acme/app', 'config', 'receive.advertisePushOptions', 'true');
    await must('app', 'checkout', '--quiet', '-b', 'agent/one');
    await commit('a');

    const { exit } = await room.git('app', 'push', '-o', 'merge_request.create', 'origin', 'agent/one');

    expect(exit).not.toBe(0);
    expect(room.forge.git('acme/app', 'branch', '--list', 'agent/*')).toBe('');
  });

  it('to a branch that only the forge itself knows to be protected: its own word is passed on', async () => {
    await clone();
    room.forge.git('acme/app', 'config', 'receive.denyCurrentBranch', 'refuse');
    room.forge.git('acme/app', 'config', 'transfer.hideRefs', 'refs/heads/agent/hidden');
    await must('app', 'checkout', '--quiet', '-b', 'agent/hidden');
    await commit('a');

    const { exit, text } = await room.git('app', 'push', 'origin', 'agent/hidden');

    expect([exit, text]).toEqual([1, expect.stringMatching(/remote rejected.*hidden ref/)]);
    expect((await pushes()).map(({ outcome }) => outcome)).toEqual(['intent', 'failure']);
    expect((await pushes()).at(-1)?.data['reason']).toMatch(/hidden/);
  });
});

const post = (path: string, body: string | Uint8Array<ArrayBuffer>, token = room.token): Promise<Response> =>
  fetch(room.at(path), { method: 'POST', body, headers: { authorization: `Bearer ${token}` } });
const codeOf = async (answer: Response): Promise<string> => ((await answer.json()) as { code: string }).code;
const restart = async (limits: Partial<GitLimits>): Promise<void> => {
  await room.close();
  room = await startBroker({ limits });
  await room.give({});
};
const [zero, one, two] = ['0'.repeat(40), '1'.repeat(40), '2'.repeat(40)] as const;
const moves = (old: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(Buffer.concat([packet(`${old} ${two} refs/heads/agent/one\0report-status`), flush]));

describe('a push that asks for too much', () => {
  it('hears that it is too large, in its commands and in its pack', async () => {
    await restart({ pushBytes: 1_000 });
    const command = await post('acme/app.git/git-receive-pack', '0'.repeat(4_000));
    expect([command.status, await codeOf(command)]).toEqual([413, 'git_push_too_large']);

    await restart({ pushBytes: 1024 * 1024 });
    await clone();
    await must('app', 'checkout', '--quiet', '-b', 'agent/large');
    await commit('large.bin', randomBytes(3 * 1024 * 1024));
    const { exit } = await room.git('app', 'push', 'origin', 'agent/large');

    expect(exit).not.toBe(0);
    await eventually('the push to be audited', async () => (await pushes()).length === 2);
    expect((await pushes()).at(-1)?.data['reason']).toMatch(/git_push_too_large/);
  });

  it('is held once for a task, and for only so many tasks', async () => {
    const url = new URL(room.at('acme/app.git/git-receive-pack'));
    const held = request(url, { method: 'POST', headers: { authorization: `Bearer ${room.token}` } });
    held.once('error', () => undefined);
    held.write(moves(one));
    const second = await eventually('the first push to be held', async () => {
      const answer = await post('acme/app.git/git-receive-pack', moves(one));
      return answer.status === 429 ? answer : undefined;
    });
    expect(await codeOf(second)).toBe('git_too_many_requests');
    held.destroy();
    await eventually('its place to be free', async () =>
      (await post('acme/app.git/git-receive-pack', moves(one))).ok ? true : undefined,
    );

    await restart({ held: 0 });
    const third = await post('acme/app.git/git-receive-pack', moves(one));
    expect([third.status, await codeOf(third)]).toEqual([429, 'git_too_many_pushes']);
  });
});

describe('the audit', () => {
  const opened = async () =>
    (await room.audit())
      .filter(({ action }) => action === 'git.opened')
      .map(({ outcome, data }) => [outcome, data['service'], data['reason'] ?? null]);

  it('knows of a fetch that did not ask what there is, once a minute', async () => {
    for (const _ of [1, 2]) expect((await post('acme/app.git/git-upload-pack', '0000')).status).toBe(200);
    expect(await opened()).toEqual([['success', 'git-upload-pack', null]]);
    room.clock.advance(61_000);
    await post('acme/app.git/git-upload-pack', '0000');
    expect((await opened()).length).toBe(2);
  });

  it('knows of what was refused without being asked for', async () => {
    room.forge.addRepository('acme/secret');
    await post('acme/secret.git/git-upload-pack', '0000');
    await room.give({ scope: ['contents:read'] });
    await post('acme/app.git/git-receive-pack', moves(zero));
    expect(await opened()).toEqual([
      ['denied', 'git-upload-pack', 'git_repository_not_listed'],
      ['denied', 'git-receive-pack', 'git_scope_too_small'],
    ]);
  });
});

describe('of several credentials', () => {
  const used = async (): Promise<unknown> => (await room.audit()).at(-1)?.data['credential'];

  it('one that may push is taken for a push, and one that names the repository before one for all', async () => {
    await clone();
    await must('app', 'checkout', '--quiet', '-b', 'agent/one');
    await commit('a');
    await room.give({ name: 'reads', scope: ['contents:read'] }, { name: 'writes', scope: ['contents:write'] });
    await must('app', 'ls-remote', 'origin');
    expect(await used()).toBe('reads');
    await must('app', 'push', 'origin', 'agent/one');
    expect(await used()).toBe('writes');

    const repositories = ['acme/app'];
    await room.give({ name: 'all' }, { name: 'old', repositories, expiresAt: '2020-01-01T00:00:00Z' });
    await must('app', 'ls-remote', 'origin');
    expect(await used()).toBe('all');
    await room.give({ name: 'all' }, { name: 'own', repositories });
    await must('app', 'ls-remote', 'origin');
    expect(await used()).toBe('own');
  });
});

describe('a task reaches', () => {
  it('no other repository, no other host, and nothing once its list has changed', async () => {
    room.forge.addRepository('acme/secret');
    const asked = room.forge.requests.length;
    const other = await room.git('.', 'ls-remote', room.at('acme/secret.git'));
    const host = await room.git('.', 'ls-remote', `${room.url}/git/169.254.169.254/latest/meta-data`);
    const up = await fetch(`${room.at('acme/app/../secret')}/info/refs?service=git-upload-pack`, {
      headers: { authorization: `Bearer ${room.token}` },
    });

    expect([other.exit, host.exit]).toEqual([128, 128]);
    expect(up.status).toBe(403);
    expect(room.forge.requests.length).toBe(asked);
    const denied = (await room.audit()).map(({ outcome, target_id, data }) => [outcome, target_id, data['reason']]);
    expect(denied).toContainEqual(['denied', `${room.forge.host}/acme/secret`, 'git_repository_not_listed']);

    room.parameters.clear();
    room.clock.advance(31_000);
    expect((await room.git('.', 'ls-remote', room.at('acme/app'))).exit).toBe(128);
  });

  it('nothing after it has ended, and a request that is under way ends with it', async () => {
    await clone();
    room.forge.instead = () => undefined;
    const waiting = room.git('.', 'ls-remote', room.at('acme/app'));
    await eventually('the forge to be asked', () =>
      Promise.resolve(room.forge.requests.at(-1)?.path.includes('info/refs')),
    );
    await eventually('the request to be ended', () =>
      Promise.resolve(room.broker.abortCalls(room.identity.taskId) > 0),
    );
    expect((await waiting).exit).toBe(128);
    room.forge.instead = null;

    await room.revoke();
    const asked = room.forge.requests.length;
    const { exit } = await room.git('app', 'fetch', 'origin');
    expect(exit).toBe(128);
    expect(room.forge.requests.length).toBe(asked);
  });
});

describe('the credential', () => {
  it('is found nowhere: not in the clone, what git prints, the log, the audit or the database', async () => {
    await clone();
    await must('app', 'checkout', '--quiet', '-b', 'agent/one');
    await commit('a');
    const printed = await must('app', 'push', '--verbose', 'origin', 'agent/one');
    room.forge.instead = (request, response) =>
      void response
        .writeHead(500, { 'x-echo': request.headers.authorization ?? '' })
        .end(request.headers.authorization);
    const broken = await room.git('app', 'fetch', 'origin');

    expect(room.forge.requests.at(-1)?.authorization).toBe(
      `Basic ${Buffer.from(`x-access-token:${canary}`).toString('base64')}`,
    );
    const rows = [];
    for (const table of ['audit_event', 'agent_entry', 'task_token'])
      rows.push(...(await room.data.database.pool.query(`select row_to_json(t)::text from ${table} t`)).rows);
    const everything =
      JSON.stringify([printed, broken, room.log(), rows]) +
      filesBelow(room.folder)
        .map((file) => readFileSync(file, 'latin1'))
        .join();
    for (const form of [canary, Buffer.from(`x-access-token:${canary}`).toString('base64')])
      expect(everything).not.toContain(form);
    expect(everything).toContain(room.identity.taskId);
  });
});

describe('a user name and password for a host of one’s own', () => {
  it('are GIT_PASSWORD with the host and name that its entry says, and reach no other host (part of C-09)', async () => {
    await room.give({ env: 'GIT_PASSWORD', username: 'x-access-token' });
    expect((await room.git('.', 'ls-remote', room.at('acme/app'))).exit).toBe(0);

    await room.give({ env: 'GIT_PASSWORD', username: 'somebody' });
    expect((await room.git('.', 'ls-remote', room.at('acme/app'))).exit).toBe(128);
    const asked = room.forge.requests.length;
    await room.give({ env: 'GIT_PASSWORD', username: 'x-access-token', host: 'git.example.com' });
    expect((await room.git('.', 'ls-remote', room.at('acme/app'))).exit).toBe(128);
    expect(room.forge.requests.length).toBe(asked);
  });
});

describe('what goes wrong at the forge', () => {
  const ask = async (): Promise<{ status: number; body: { code: string; detail: string } }> => {
    const answer = await fetch(`${room.at('acme/app')}/info/refs?service=git-upload-pack`, {
      headers: { authorization: `Bearer ${room.token}` },
    });
    return { status: answer.status, body: (await answer.json()) as { code: string; detail: string } };
  };

  it.each<[string, number, Record<string, string>, number, string]>([
    ['a refused credential', 401, {}, 403, 'git_credential_refused'],
    ['a repository that is not there', 404, {}, 404, 'git_repository_not_found'],
    ['a redirect, which is not followed', 302, { location: 'http://169.254.169.254/' }, 409, 'git_repository_moved'],
    ['too many requests', 429, {}, 429, 'git_host_busy'],
    ['a broken host', 502, {}, 503, 'git_host_failed'],
    ['a page in place of git', 200, { 'content-type': 'text/html' }, 503, 'git_answer_not_understood'],
  ])('is said plainly: %s', async (_what, status, headers, expected, code) => {
    room.forge.instead = (_request, response) => void response.writeHead(status, headers).end('SECRET OF THE FORGE');

    const answer = await ask();

    expect([answer.status, answer.body.code]).toEqual([expected, code]);
    expect(JSON.stringify(answer.body)).not.toContain('SECRET OF THE FORGE');
  });

  it('is said plainly: a host that cannot be reached, and one that says nothing', async () => {
    await room.close();
    room = await startBroker({ limits: { silenceMs: 300 } });
    await room.give({}, { name: 'elsewhere', host: '127.0.0.1:9' });
    room.parameters.set('more_repositories', JSON.stringify(['http://127.0.0.1:9/acme/gone']));
    const gone = await fetch(`${room.url}/git/127.0.0.1:9/acme/gone/info/refs?service=git-upload-pack`, {
      headers: { authorization: `Bearer ${room.token}` },
    });
    expect([gone.status, ((await gone.json()) as { code: string }).code]).toEqual([503, 'git_host_unreachable']);

    room.forge.instead = () => undefined;
    expect((await ask()).body.code).toBe('git_host_silent');
  });
});
