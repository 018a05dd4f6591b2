import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Route } from '../../service/platform/http.ts';
import { startTestService, type Answer, type Person, type TestService } from '../support/service.ts';

/**
 * Every route the service answers, found by asking the service: a new one is tried without anybody writing it down
 * here. Only whose a name in a path is must be said, and the test says so when it is not.
 */
let outrigger: TestService;
/** What stands in Ada's paths, by the part of the house and the name in the path; null belongs to an organization. */
let adas: Readonly<Record<string, string | null>>;

beforeAll(async () => {
  outrigger = await startTestService({}, { requestsPerMinute: 100_000 });
  const { people, workspace } = outrigger;
  const create = async (path: string, body: unknown): Promise<string> => {
    const answer = await outrigger.call(people.ada, /schedules|webhooks/.test(path) ? 'PUT' : 'POST', path, body);
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return String(answer.body.id);
  };
  const payload = { action: 'generate_code', prompt: 'Do it', context: { workspace_id: workspace.id } };
  const task = await create('/api/v2/agents/opencode/tasks', { type: 'opencode', payload });
  const workflow = await create('/api/v2/agents/agentzero/workflows', {
    name: 'Mine',
    workspace_id: workspace.id,
    steps: [{ id: 'one', agent: 'opencode', task: 'generate_code', params: { prompt: 'Do it' } }],
  });
  await create('/api/v2/agents/schedules/nightly', {
    apiVersion: 'kubeopencode.io/v1alpha1',
    kind: 'CronTask',
    metadata: { name: 'nightly' },
    spec: { schedule: '0 3 * * *', taskTemplate: { spec: { type: 'opencode', payload } } },
  });
  await create('/api/v2/agents/webhooks/reviews', { kind: 'github', task: { type: 'opencode', payload } });
  adas = {
    'opencode/taskId': task,
    'tasks/taskId': task,
    'tasks/artifactId': randomUUID(),
    'agentzero/workflowId': workflow,
    'schedules/name': 'nightly',
    'webhooks/name': 'reviews',
    'workspaces/workspaceId': workspace.id,
    // Nobody can be asked for one without a bridge, so what is tried is one that is not there.
    'approvals/approvalId': randomUUID(),
    'dead-letters/letterId': randomUUID(),
    'status/agent': null,
    'definitions/name': null,
    'templates/name': null,
    'templates/kid': null,
    'secrets/name': null,
    'registry/name': null,
    'agent-templates/name': null,
    'egress/id': null,
    'limits/kind': null,
    'limits/target': null,
    'budgets/scope': null,
    'budgets/target': null,
    'git/path': null,
    'hooks/name': null,
    'schemas/name': null,
    'named-tasks/name': null,
  };
});
afterAll(() => outrigger.stop());

type Tried = Pick<Route, 'method' | 'path' | 'guard'>;
const routes = (): readonly Tried[] => outrigger.service.routes;
const named = ({ method, path }: Tried): string => `${method.toUpperCase()} ${path}`;
const areaOf = (path: string): string =>
  path
    .replace(/^\/api(\/v2\/agents)?\//, '')
    .split('/')
    .filter(Boolean)[0] ?? '';
const namesIn = (path: string): string[] => [...path.matchAll(/[:*](\w+)/g)].map(([, name = '']) => name);
const fill = (path: string, value: (key: string) => string): string =>
  path.replace(/[:*](\w+)/g, (_all, name: string) => encodeURIComponent(value(`${areaOf(path)}/${name}`)));

const asks = async (who: Person | null, route: Tried, path: string, body?: unknown): Promise<Answer> =>
  outrigger.call(who, route.method.toUpperCase(), path, route.method === 'get' ? undefined : body);

/** What is wrong with an answer that should be a refusal; undefined when nothing is. */
function faultOf(answer: Answer, allowed: (status: number) => boolean): string | undefined {
  if (!allowed(answer.status)) return `${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`;
  if (answer.status < 400) return undefined;
  // The model's and git's own words for a refusal are those of their protocols.
  const isProblem = typeof answer.body?.code === 'string' && typeof answer.body.detail === 'string';
  return isProblem || answer.body?.error !== undefined || typeof answer.body === 'string'
    ? undefined
    : `no problem document: ${JSON.stringify(answer.body).slice(0, 200)}`;
}

const isRefused = (status: number): boolean => status >= 400 && status < 500;
const isNoFault = (status: number): boolean => status < 500;
const usable = (): readonly Tried[] => routes().filter((route) => route.guard === 'user');

/** Routes that need no body, or take any: nothing in it can be wrong. */
const bodyless = [
  /\/(stop|cancel|suspend|resume|trigger|rotate|requeue|retry|ide)$/,
  /^\/api\/v2\/agents\/templates\/:name\/secrets$/,
];

/** Lists that are short enough to come whole: nothing in a query pages them. */
const wholeLists = /\/(registry|agents|agent-entries|agent-templates|limits|plugins|rules|blocked|budgets)$/;

const wrongBodies: readonly (readonly [string, unknown])[] = [
  ['a list', []],
  ['a word', '"word"'],
  ['a number', '7'],
  ['null', 'null'],
  ['no field at all', {}],
  [
    'fields of the wrong type',
    { name: 7, type: {}, payload: 'x', steps: 'x', value: [], version: 'x', decision: 9, spec: 1 },
  ],
  ['half a document', '{"name": '],
];

describe('every route of the service', () => {
  it('has a name in its path only where it is said here whose it is', () => {
    const unknown = routes().flatMap(({ path }) =>
      namesIn(path)
        .map((name) => `${areaOf(path)}/${name}`)
        .filter((key) => !(key in adas)),
    );

    expect([...new Set(unknown)]).toEqual([]);
    expect(routes().length).toBeGreaterThan(60);
  });

  it('asks who is calling, and answers nobody and a stranger with 401', async () => {
    const faults: string[] = [];
    const stranger = { id: randomUUID(), token: 'unknown-token' };
    for (const route of routes().filter(({ guard }) => guard !== 'open'))
      for (const who of [null, stranger]) {
        const answer = await asks(
          who,
          route,
          fill(route.path, () => randomUUID()),
          {},
        );
        const fault = faultOf(answer, (status) => status === 401 || (route.guard === 'proof' && isRefused(status)));
        if (fault) faults.push(`${named(route)}: ${fault}`);
      }

    expect(faults).toEqual([]);
  });

  it('does not know an id that nobody has: 4xx, never 5xx', async () => {
    const faults: string[] = [];
    for (const route of usable().filter(({ path }) => namesIn(path).length > 0))
      for (const id of [randomUUID(), 'nothing-of-that-name', '../../etc/passwd', "x'; select 1", 'x'.repeat(3_000)]) {
        const answer = await asks(
          outrigger.people.admin,
          route,
          fill(route.path, () => id),
          {},
        );
        const mayDo = route.method === 'get' || route.method === 'delete' || /\/secrets$/.test(route.path);
        const fault = faultOf(answer, mayDo ? isNoFault : isRefused);
        if (fault) faults.push(`${named(route)} with ${id.slice(0, 30)}: ${fault}`);
        if (namesIn(route.path).some((name) => name.endsWith('Id')) && answer.status < 400)
          faults.push(`${named(route)} with ${id.slice(0, 30)}: ${answer.status}`);
      }

    expect(faults).toEqual([]);
  });

  it('answers 404 for what is somebody else’s, as for what is not there', async () => {
    const faults: string[] = [];
    const { bob } = outrigger.people;
    let tried = 0;
    for (const route of usable()) {
      const keys = namesIn(route.path).map((name) => `${areaOf(route.path)}/${name}`);
      if (keys.length === 0 || !keys.some((key) => typeof adas[key] === 'string')) continue;
      tried += 1;
      const body = { decision: 'approve', enabled: true };
      const hers = await asks(
        bob,
        route,
        fill(route.path, (key) => adas[key] ?? 'x'),
        body,
      );
      const nobodys = await asks(
        bob,
        route,
        fill(route.path, () => randomUUID()),
        body,
      );
      const words = ({ body: { code, title } }: Answer): unknown => [code, title];
      // A body that is wrong may be refused before anybody looks.
      const isEarly = hers.status === 400 && nobodys.status === 400;
      const isHisOwn = route.method === 'put' && /schedules|webhooks/.test(areaOf(route.path));
      if (!isEarly && !isHisOwn && (hers.status !== 404 || nobodys.status !== 404))
        faults.push(`${named(route)}: ${hers.status} for hers, ${nobodys.status} for nobody's`);
      else if (JSON.stringify(words(hers)) !== JSON.stringify(words(nobodys)) && !isHisOwn)
        faults.push(`${named(route)}: the answers tell hers from nobody's`);
    }

    expect(faults).toEqual([]);
    expect(tried).toBeGreaterThan(20);
  });

  it('refuses a wrong body with 4xx and a word, and begins nothing', async () => {
    const faults: string[] = [];
    for (const route of usable().filter(({ method }) => method === 'post' || method === 'put'))
      for (const [what, body] of wrongBodies)
        for (const who of [outrigger.people.ada, outrigger.people.admin]) {
          const answer = await asks(
            who,
            route,
            fill(route.path, (key) => adas[key] ?? 'some-name'),
            body,
          );
          const fault = faultOf(answer, bodyless.some((one) => one.test(route.path)) ? isNoFault : isRefused);
          if (fault) faults.push(`${named(route)} with ${what}: ${fault}`);
        }

    expect(faults).toEqual([]);
  });

  it('refuses a body over its limit with 413, or before it is read', async () => {
    const faults: string[] = [];
    const large = JSON.stringify({ name: 'x'.repeat(1_100_000) });
    for (const route of usable().filter(({ method }) => method === 'post' || method === 'put')) {
      const answer = await asks(
        outrigger.people.admin,
        route,
        fill(route.path, (key) => adas[key] ?? 'some-name'),
        large,
      );
      const fault = faultOf(answer, (status) => status === 413 || status === 404);
      if (fault) faults.push(`${named(route)}: ${fault}`);
    }

    expect(faults).toEqual([]);
  });

  it('refuses a query that is none: no list takes a limit or a cursor that it cannot use', async () => {
    const faults: string[] = [];
    let lists = 0;
    for (const route of usable().filter(({ method, path }) => method === 'get' && namesIn(path).length === 0)) {
      const plain = await asks(outrigger.people.ada, route, route.path);
      const isList = plain.body?.next_cursor !== undefined;
      lists += isList ? 1 : 0;
      for (const query of [
        'limit=many',
        'limit=0',
        'limit=100000',
        'limit=1&limit=2',
        'cursor=x',
        'cursor=%00',
        'organization=%ff',
      ]) {
        const answer = await asks(outrigger.people.ada, route, `${route.path}?${query}`);
        const mustRefuse = isList && !wholeLists.test(route.path) && /^(limit|cursor)=(many|0|100000|x)/.test(query);
        const fault = faultOf(answer, mustRefuse ? isRefused : isNoFault);
        if (fault) faults.push(`${named(route)}?${query}: ${fault}`);
      }
    }

    expect(faults).toEqual([]);
    expect(lists).toBeGreaterThan(5);
  });
});
