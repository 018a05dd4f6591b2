import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { description } from 'coder-sdk-ts';
import { presentCompatible } from '../../service/workspaces/compatible-workspace.ts';
import { workspaceStatus } from '../../service/workspaces/workspace.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

const words = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'workspace', 'status.json'), 'utf8'),
) as string[];

describe('P-90 C-23 the status of a workspace', () => {
  const table = [
    ['pending', 'STARTING'],
    ['starting', 'STARTING'],
    ['running', 'RUNNING'],
    ['stopping', 'STOPPING'],
    ['canceling', 'STOPPING'],
    ['deleting', 'STOPPING'],
    ['stopped', 'STOPPED'],
    ['deleted', 'STOPPED'],
    ['failed', 'ERROR'],
    ['canceled', 'ERROR'],
  ] as const;

  it.each(table)('is, for a latest build that is %s, %s', (build, status) => {
    expect(workspaceStatus(build)).toBe(status);
  });

  it('is told for every word that Coder has, in the words of the fixture and each of them', () => {
    const { components } = description as unknown as {
      components: { schemas: { WorkspaceBuild: { properties: { status: { description: string } } } } };
    };
    const coders = components.schemas.WorkspaceBuild.properties.status.description.split(', ');

    expect(table.map(([build]) => build).sort()).toEqual(coders.sort());
    expect(new Set(table.map(([, status]) => status))).toEqual(new Set(words));
  });

  it('is ERROR for a word that nobody knows', () => {
    expect(workspaceStatus('hibernating')).toBe('ERROR');
  });
});

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(() => outrigger.stop());

const call = (person: 'ada' | 'bob', path: string) => outrigger.call(outrigger.people[person], 'GET', path);

describe('/api/workspaces', () => {
  it('P-89 C-23 answers the documented keys without the two ports, under the workspace’s id in Coder', async () => {
    const parameters = {
      git_repository: 'https://git.example.com/team/project.git',
      git_ref: 'release/2',
      nix_config: '{ pkgs }: pkgs.hello',
    };
    const { id } = outrigger.coder.addWorkspace({ owner: 'ada', name: 'full', running: false, parameters });
    const one = await call('ada', `/api/workspaces/${id}`);
    const { body: list } = await call('ada', '/api/workspaces');

    const documented = `name description containerId vscodePort agentPort status githubRepo githubBranch nixConfig
      template userId lastAccessedAt`.split(/\s+/);
    const kept = documented.filter((key) => key !== 'vscodePort' && key !== 'agentPort');
    expect(Object.keys(one.body).sort()).toEqual([...kept, 'id', 'build_status'].sort());
    expect(one.body).toEqual({
      id,
      name: 'full',
      description: null,
      containerId: null,
      status: 'STOPPED',
      build_status: 'stopped',
      githubRepo: 'https://git.example.com/team/project',
      githubBranch: 'release/2',
      nixConfig: '{ pkgs }: pkgs.hello',
      template: 'docker',
      userId: outrigger.people.ada.id,
      lastAccessedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
    expect(list.items.map((item: { id: string }) => item.id).sort()).toEqual([id, outrigger.workspace.id].sort());
    expect(list.items).toContainEqual(one.body);
  });

  it('answers page by page, and each workspace once', async () => {
    outrigger.coder.addWorkspace({ owner: 'bob', name: 'one', running: true });
    outrigger.coder.addWorkspace({ owner: 'bob', name: 'two', running: true });
    const { body: first } = await call('bob', '/api/workspaces?limit=1');
    const { body: second } = await call('bob', `/api/workspaces?limit=1&cursor=${first.next_cursor}`);
    const { body: none } = await call('bob', `/api/workspaces?limit=1&cursor=${second.next_cursor}`);

    expect([...first.items, ...second.items].map(({ name }) => name).sort()).toEqual(['one', 'two']);
    expect(none).toEqual({ items: [], next_cursor: null });
  });

  it('answers 404 for somebody else’s workspace and for none', async () => {
    const foreign = await call('bob', `/api/workspaces/${outrigger.workspace.id}`);
    const none = await call('bob', '/api/workspaces/00000000-0000-4000-8000-000000000000');

    expect([foreign.status, none.status]).toEqual([404, 404]);
  });

  it('repeats no user name or password that somebody put into an address', () => {
    const workspace = { status: 'running' } as Parameters<typeof presentCompatible>[0];
    const address = 'https://me:canary@git.example.com/team/project';
    const shown = presentCompatible(workspace, new Map([['git_repository', address]]));

    expect(shown.githubRepo).toBeNull();
    expect(JSON.stringify(shown)).not.toContain('canary');
  });
});

describe('what the service keeps of people and of Coder’s things', () => {
  const columns = async (): Promise<string[]> => {
    const { rows } = await outrigger.database.pool.query<{ name: string }>(
      `select table_name || '.' || column_name as name from information_schema.columns where table_schema = 'outrigger'`,
    );
    return rows.map(({ name }) => name);
  };

  it('P-88 is a person’s id in Coder: no table of users, and besides ids only the author that the commits of a piece of work name', async () => {
    const all = await columns();
    const tables = new Set(all.map((name) => name.split('.')[0]));

    expect([...tables].filter((name) => /user|person|people|account|member/.test(name ?? ''))).toEqual([]);
    expect(all.filter((name) => /e_?mail|image|avatar|github|full_name|login/i.test(name))).toEqual([]);
    expect(new Set(all.filter((name) => /owner_name|commit_identity/.test(name)))).toEqual(
      new Set([
        'task.owner_name',
        'task.commit_identity',
        'workflow.owner_name',
        'workflow.commit_identity',
        'schedule.owner_name',
        'webhook.owner_name',
      ]),
    );
  });

  it('P-91 is no session: Coder judges the token of each request, none is stored and no cookie is given or taken', async () => {
    const all = await columns();
    const cookie = { cookie: `coder_session_token=${outrigger.people.ada.token}` };
    const good = await call('ada', '/api/v2/agents/tasks');
    const byCookie = await outrigger.call(null, 'GET', '/api/v2/agents/tasks', undefined, cookie);
    const tables = new Set(all.map((name) => name.split('.')[0] ?? ''));
    const stored = await Promise.all(
      [...tables].map(async (table) => {
        const { rows } = await outrigger.database.pool.query<{ text: string }>(
          `select to_jsonb(row)::text as text from outrigger."${table}" as row`,
        );
        return rows.map(({ text }) => text).join('\n');
      }),
    );

    expect([good.status, good.headers.get('set-cookie')]).toEqual([200, null]);
    expect(byCookie.status).toBe(401);
    expect([...tables].filter((name) => /session|login/.test(name))).toEqual([]);
    expect(stored.join('\n')).not.toContain(outrigger.people.ada.token);

    outrigger.coder.suspend('bob');
    outrigger.clock.advance(6_000);
    expect((await call('bob', '/api/v2/agents/tasks')).status).toBe(401);
  });

  it('P-92 is what was used, and nothing that a forge has: no repository, pull request or issue', async () => {
    const bridge = await outrigger.bridge();
    const { body: task } = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
    });
    const lease = await takeLease(bridge);
    const answer = await fetch(`${outrigger.url}/llm/v1/chat/completions`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${lease.task_token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'Say it.' }] }),
    });
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    bridge.close();
    const { rows } = await outrigger.database.pool.query<{ input: number; cached: number; output: number }>(
      `select input_tokens as input, cached_tokens as cached, output_tokens as output from model_call where task_id = $1`,
      [task.id],
    );
    const read = await eventually('the task to end', async () => {
      const { body } = await call('ada', `/api/v2/agents/tasks/${task.id}`);
      return body.state === 'finished' ? body : undefined;
    });

    expect(answer.status).toBe(200);
    expect(rows.map(({ input, cached, output }) => [Number(input), Number(cached), Number(output)])).toEqual([
      [800, 200, 43],
    ]);
    expect(read.usage).toMatchObject({ calls: 1, input_tokens: 800, cached_tokens: 200, output_tokens: 43 });
    const forges = (await columns()).filter((name) => /git_?hub|repositor|pull_request|^issue|^commit\./i.test(name));
    expect(forges).toEqual([]);
  });
});
