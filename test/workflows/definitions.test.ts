import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { readManifest, toYaml } from '../../service/workflows/definitions/definition.ts';
import { readDefinition } from '../../service/workflows/definitions/read-definition.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';
import { step, workflowsPath } from '../support/workflows-room.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let admin: Person;
beforeAll(async () => {
  outrigger = await startTestService();
  admin = outrigger.coder.addUser({ username: 'orga', roles: ['organization-admin'] });
  bridge = await outrigger.bridge();
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});
beforeEach(() => outrigger.database.pool.query('truncate workflow_definition cascade'));

const definitions = '/api/v2/agents/definitions';
const manifest = (spec: object, name = 'nightly') => ({
  apiVersion: 'outrigger/v1',
  kind: 'Workflow',
  metadata: { name },
  spec,
});
const one = (prompt = 'Write it.') => manifest({ steps: [step('api', [], { params: { prompt } })] });
const reordered = ({ spec, ...rest }: ReturnType<typeof manifest>): string => JSON.stringify({ spec, ...rest });
const as = (person: Person, method: string, path = '', body?: unknown, headers?: Record<string, string>) =>
  outrigger.call(person, method, `${definitions}/nightly${path}`, body, headers);
const ada = (...rest: [string, string?, unknown?, Record<string, string>?]) => as(outrigger.people.ada, ...rest);
const eventsOf = async (action: string) =>
  (
    await outrigger.database.pool.query<{ outcome: string; data: Record<string, unknown> }>(
      'select outcome, data from audit_event where action = $1 order by id',
      [action],
    )
  ).rows;

describe('a stored definition', () => {
  it('gets a version for each meaning, and none for the same in another order', async () => {
    const answers = [
      await ada('PUT', '', one()),
      await ada('PUT', '', one('Write more.')),
      await ada('PUT', '', reordered(one('Write more.'))),
    ];
    expect(answers.map(({ status, body }) => [status, body.change, body.status.version])).toEqual([
      [201, 'created', 1],
      [200, 'changed', 2],
      [200, 'unchanged', 2],
    ]);
    expect((await ada('GET', '?version=1')).body.spec).toEqual(one().spec);
    expect((await ada('GET')).body).toMatchObject({ ...one('Write more.'), status: { version: 2 } });
    const { body } = await ada('GET', '/versions?limit=1');
    expect(body).toMatchObject({
      items: [{ version: 2, created_by: `user:${outrigger.people.ada.id}` }],
      next_cursor: '2',
    });
    expect((await ada('GET', '/versions?cursor=2')).body).toMatchObject({ items: [{ version: 1 }], next_cursor: null });
    expect((await eventsOf('definition.written')).slice(-2).map(({ data }) => data['version'])).toEqual([1, 2]);
  });

  it('is rolled back by a new version that says what the old one said', async () => {
    for (const prompt of ['one', 'two', 'three']) await ada('PUT', '', one(prompt));

    const { status, body } = await ada('POST', '/rollback', { to: 1 });

    expect([status, body.change]).toEqual([200, 'changed']);
    expect(body).toMatchObject({ ...one('one'), status: { version: 4, restored_from: 1 } });
    expect((await ada('POST', '/rollback', { to: 4 })).body.change).toBe('unchanged');
    expect((await ada('POST', '/rollback', { to: 9 })).status).toBe(404);
    expect((await ada('GET', '/versions')).body.items).toHaveLength(4);
    expect((await eventsOf('definition.written')).at(-1)?.data).toEqual({ version: 4, restored_from: 1 });
  });

  it('tells with dry_run what would change, and changes nothing', async () => {
    expect((await ada('PUT', '?dry_run=true', one())).body).toEqual({ change: 'created', dry_run: true });
    expect((await ada('GET')).status).toBe(404);
    await ada('PUT', '', one());
    expect((await ada('PUT', '?dry_run=true', one())).body.change).toBe('unchanged');
    expect((await ada('PUT', '?dry_run=true', one('other'))).body.change).toBe('changed');
  });

  it('is listed with what a person chooses by, newest first, and is gone after a delete', async () => {
    await ada('PUT', '', manifest({ description: 'Updates.', ...one().spec }));
    await outrigger.call(outrigger.people.ada, 'PUT', `${definitions}/later`, manifest(one().spec, 'later'));
    const { body } = await outrigger.call(outrigger.people.bob, 'GET', definitions);
    expect(body.items.map(({ name }: { name: string }) => name)).toEqual(['later', 'nightly']);
    expect(body.items[1]).toMatchObject({ version: 1, description: 'Updates.', parameters: [] });

    expect((await ada('DELETE')).status).toBe(204);
    expect((await ada('DELETE')).status).toBe(404);
    expect((await ada('GET')).status).toBe(404);
  });

  it.each<[string, unknown, number, RegExp]>([
    ['a cycle', manifest({ steps: [step('a', ['b']), step('b', ['a'])] }), 400, /a → b → a/],
    ['an agent there is none of', manifest({ steps: [step('a', [], { agent: 'robot' })] }), 422, /robot.*opencode/],
    ['an action there is none of', manifest({ steps: [step('a', [], { task: 'dance' })] }), 422, /dance/],
    [
      'a field that a workflow has not',
      manifest({ steps: [{ ...step('a'), colour: 'red' }] }),
      400,
      /spec\.steps\.0.*colour/,
    ],
    ['a field that a definition has not', { ...one(), colour: 'red' }, 400, /colour/],
    ['a cost that its author agrees to', manifest({ ...one().spec, approved_cost_micro_usd: 9 }), 400, /whoever runs/],
    ['another kind', { ...one(), kind: 'Task' }, 400, /kind/],
    ['a name that is not the path’s', manifest(one().spec, 'other'), 400, /other.*nightly/],
    ['text that is no YAML', 'a: [1', 400, /not a YAML/],
    ['a parameter nobody declares', one('Do {{parameters.what}}.'), 400, /parameters\.what.*none/],
    ['an output that is not there yet', one('After {{steps.b.output}}.'), 400, /'api' uses the output of 'b'/],
  ])('refuses %s and stores nothing', async (_what, body, status, words) => {
    const answer = await ada('PUT', '', body);
    expect([answer.status, answer.body.detail]).toEqual([status, expect.stringMatching(words)]);
    expect((await ada('GET')).status).toBe(404);
  });
});

describe('who may', () => {
  it('read and run a definition is a member of its organization, change it its author or an admin', async () => {
    await ada('PUT', '', one());
    const bob = outrigger.people.bob;
    expect((await as(bob, 'GET')).status).toBe(200);
    for (const [method, path, body] of [
      ['PUT', '', one('x')],
      ['DELETE', ''],
      ['POST', '/rollback', { to: 1 }],
    ] as const) {
      const answer = await as(bob, method, path, body);
      expect([answer.status, answer.body.code]).toEqual([403, 'definition_author_required']);
    }
    expect((await eventsOf('definition.written')).filter(({ outcome }) => outcome === 'denied')).toHaveLength(2);
    expect((await as(admin, 'PUT', '', one('y'))).body.change).toBe('changed');
    expect((await ada('PUT', '', one('z'))).body.change).toBe('changed');

    const elsewhere = '?organization_id=01a1fe84-6e71-74c4-b4d3-597185d7e2d2';
    for (const [method, path] of [
      ['GET', ''],
      ['PUT', ''],
      ['GET', '/versions'],
      ['POST', '/run'],
    ] as const)
      expect((await ada(method, path + elsewhere, method === 'GET' ? undefined : one())).status).toBe(404);
    expect((await outrigger.call(null, 'GET', `${definitions}/nightly`)).status).toBe(401);
  });

  it('run works in the caller’s workspaces only', async () => {
    await ada('PUT', '', one());
    const answer = await as(outrigger.people.bob, 'POST', '/run', { workspace_id: outrigger.workspace.id });
    expect(answer.status).toBe(404);
    expect((await as(outrigger.people.bob, 'POST', '/run', {})).body.code).toBe('workspace_ambiguous');
  });
});

describe('running a definition', () => {
  const withParameters = manifest({
    parameters: [{ name: 'what' }, { name: 'how', default: 'well' }],
    steps: [step('api', [], { params: { prompt: 'Do {{parameters.what}}, {{ parameters.how }}.' } })],
  });

  it('fills its parameters in, starts a workflow once per key, and the audit says which version', async () => {
    await ada('PUT', '', withParameters);
    const key = { 'Idempotency-Key': 'run-once' };
    const answer = await ada('POST', '/run', { parameters: { what: 'it {{parameters.how}}' } }, key);
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({ status: 'queued', definition: { name: 'nightly', version: 1 } });
    expect((await ada('POST', '/run', { parameters: { what: 'it {{parameters.how}}' } }, key)).body).toEqual(
      answer.body,
    );

    const lease = await takeLease(bridge);
    expect(lease.prompt).toContain('Do it {{parameters.how}}, well.');
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    const { body } = await outrigger.call(outrigger.people.ada, 'GET', `${workflowsPath}/${answer.body.id}`);
    expect(body.name).toBe('nightly');
    expect((await eventsOf('definition.run')).map(({ data }) => data)).toEqual([
      { version: 1, workflow_id: answer.body.id },
    ]);
  });

  it('fills in no more than could be submitted, so that few words never become gigabytes', async () => {
    const prompt = '{{parameters.what}}'.repeat(200);
    const many = (what: object) =>
      manifest({
        parameters: [{ name: 'what', ...what }],
        steps: Array.from({ length: 100 }, (_, index) => step(`s${index}`, [], { params: { prompt } })),
      });

    const written = await ada('PUT', '', many({ default: 'x'.repeat(60_000) }));
    expect([written.status, written.body.code]).toEqual([400, 'definition_too_large']);
    expect((await ada('PUT', '', many({}))).status).toBe(201);
    const run = await ada('POST', '/run', { parameters: { what: 'x'.repeat(60_000) } });
    expect([run.status, run.body.code]).toEqual([400, 'definition_too_large']);
  });

  it('agrees to no cost in the name of whoever runs it, nor does a workflow inside it', async () => {
    const inner = { name: 'Inner', approved_cost_micro_usd: 10 ** 12, steps: [step('api')] };
    const nested = step('all', [], { agent: 'agentzero', task: 'run_workflow', params: inner });
    for (const spec of [{ approved_cost_micro_usd: 1, steps: [step('api')] }, { steps: [nested] }]) {
      const { status, body } = await ada('PUT', '', manifest(spec));
      expect([status, body.code]).toEqual([400, 'cost_not_for_definitions']);
    }
  });

  it('refuses a parameter that is missing or unknown, and names what there is', async () => {
    await ada('PUT', '', withParameters);
    const missing = await ada('POST', '/run', {});
    expect([missing.status, missing.body.detail]).toEqual([422, expect.stringMatching(/needs parameter 'what'/)]);
    const unknown = await ada('POST', '/run', { parameters: { what: 'x', who: 'y' } });
    expect([unknown.status, unknown.body.detail]).toEqual([422, expect.stringMatching(/'who'.*what, how/)]);
  });

  it('is also read by other rooms, filled in or at one version', async () => {
    await ada('PUT', '', withParameters);
    await ada('PUT', '', one());
    const organizationId = (await ada('GET')).body.status.organization_id as string;
    const first = { organizationId, name: 'nightly', version: 1, parameters: { what: 'that' }, workspaceId: 'ws-123' };

    const { version, body } = await readDefinition(outrigger.database, first);

    expect(version).toBe(1);
    expect(body).toMatchObject({
      name: 'nightly',
      workspace_id: 'ws-123',
      steps: [{ params: { prompt: 'Do that, well.' } }],
    });
  });
});

describe('S-120 a definition as YAML', () => {
  const yaml = { Accept: 'application/yaml' };

  it('is taken back without a new version, and given again byte by byte the same', async () => {
    const text = `apiVersion: outrigger/v1
kind: Workflow
metadata:
  name: nightly
spec:
  description: "yes: no # not a comment"
  steps:
    - id: api
      agent: opencode
      task: generate_api
      params:
        prompt: |
          Two lines,
            the second further in.
      timeout_seconds: 600
    - task: write_tests
      agent: opencode
      id: tests
      depends_on:
        - api
`;
    await ada('PUT', '', text, { 'Content-Type': 'application/yaml' });
    const exported = await ada('GET', '', undefined, yaml);
    expect(exported.headers.get('content-type')).toMatch(/application\/yaml/);
    expect(parse(exported.body as string)).toEqual(parse(text));
    expect((await ada('PUT', '', exported.body)).body.change).toBe('unchanged');
    expect((await ada('GET', '', undefined, yaml)).body).toBe(exported.body);

    await ada('DELETE');
    await ada('PUT', '', exported.body);
    expect((await ada('GET', '', undefined, yaml)).body).toBe(exported.body);
  });

  it('keeps every value and the order of keys, whatever they are', () => {
    const text = fc
      .string({ unit: 'grapheme', minLength: 1 })
      .filter((one) => one.trim() !== '' && !one.includes('{{'));
    const params = fc.dictionary(text, fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null), fc.array(text)));
    fc.assert(
      fc.property(text, params, (prompt, others) => {
        const spec = { steps: [{ ...step('a'), params: { ...others, prompt } }], description: prompt };
        const again = readManifest(parse(toYaml('nightly', spec)));
        expect(JSON.stringify(again.spec)).toBe(JSON.stringify(spec));
      }),
    );
  });
});
