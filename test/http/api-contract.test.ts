import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeWebServer } from '../../service/platform/web-server.ts';
import { makeTestClock } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

/**
 * What was released must go on: each file of test/fixtures/api holds the routes of one version and requests with the
 * status and the shape of their answers, taken when it was released.
 *
 *   RECORD_API=v2 npm run jest -- test/http/api-contract.test.ts    takes them anew, before a release; review the difference
 */
const folder = join(import.meta.dirname, '..', 'fixtures', 'api');
const recording = process.env['RECORD_API'];

/** `"string"`, `"null"`, …; a list as the shape of its first item; an object by its keys, but free ones (`data`) as `"object"`. */
type Shape = string | readonly Shape[] | { readonly [key: string]: Shape };

interface Exchange {
  readonly name: string;
  readonly as: 'ada' | 'bob' | 'admin' | 'nobody';
  readonly method: string;
  /** `{task}` stands for what an earlier answer gave. */
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
  /** Name → the key of the answer that is kept under it. */
  readonly save?: Readonly<Record<string, string>>;
  readonly status?: number;
  readonly answer?: Shape;
}

interface Contract {
  readonly version: string;
  routes: readonly string[];
  exchanges: readonly (Exchange | { readonly do: 'finish a task' })[];
}

const shapeOf = (value: unknown): Shape => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== 'object') return typeof value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, key === 'data' ? typeof inner : shapeOf(inner)]),
  );
};

/** What an answer of today lacks of a released one; more is no fault. */
function lost(released: Shape, now: Shape, path = 'answer'): string[] {
  // What is not there yet, or was not then, depends on the moment.
  if (released === 'null' || now === 'null') return [];
  if (typeof released === 'string')
    return released === now ? [] : [`${path} was ${released}, is ${JSON.stringify(now)}`];
  if (typeof now === 'string' || Array.isArray(released) !== Array.isArray(now))
    return [`${path} is no longer of the same kind: ${JSON.stringify(now)}`];
  if (Array.isArray(released)) {
    const [before, after] = [released[0], (now as readonly Shape[])[0]];
    return before === undefined || after === undefined ? [] : lost(before, after, `${path}[0]`);
  }
  const keys = now as Readonly<Record<string, Shape>>;
  return Object.entries(released).flatMap(([key, inner]) => {
    const found = keys[key];
    return found === undefined ? [`${path}.${key} is gone`] : lost(inner, found, `${path}.${key}`);
  });
}

const fill = (text: string, known: ReadonlyMap<string, string>): string =>
  text.replace(/\{(\w+)\}/g, (whole, name: string) => known.get(name) ?? whole);

/** Plays every exchange; answers what each came to. */
async function play(outrigger: TestService, contract: Contract): Promise<Exchange[]> {
  const known = new Map([['workspace', outrigger.workspace.id]]);
  const bridge = await outrigger.bridge();
  const played: Exchange[] = [];
  for (const one of contract.exchanges) {
    if ('do' in one) {
      const { task_id, attempt } = await takeLease(bridge);
      await bridge.request('result', { task_id, attempt, evidence: goodEvidence() });
      continue;
    }
    const who = one.as === 'nobody' ? null : outrigger.people[one.as];
    const body = one.body === undefined ? undefined : fill(JSON.stringify(one.body), known);
    const answer = await outrigger.call(who, one.method, fill(one.path, known), body, one.headers ?? {});
    for (const [name, key] of Object.entries(one.save ?? {})) known.set(name, String(answer.body[key]));
    played.push({ ...one, status: answer.status, answer: shapeOf(answer.body) });
  }
  bridge.close();
  return played;
}

const nameOf = ({ method, path }: { method: string; path: string }): string => `${method.toUpperCase()} ${path}`;

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(() => outrigger.stop());

const versions = readdirSync(folder).map((name) => name.replace('.json', ''));

describe.each(versions)('S-117 the released API %s', (version) => {
  const path = join(folder, `${version}.json`);
  const contract = JSON.parse(readFileSync(path, 'utf8')) as Contract;

  it('S-117 still has each of its routes', () => {
    const now = outrigger.service.routes.map(nameOf);
    if (recording === version) contract.routes = now.toSorted();

    expect(contract.routes.filter((route) => !now.includes(route))).toEqual([]);
    expect(contract.routes.length).toBeGreaterThan(50);
  });

  it('S-117 still takes each of its requests, and answers with at least what it answered', async () => {
    const played = await play(outrigger, contract);
    const released = contract.exchanges.filter((one): one is Exchange => !('do' in one));
    if (recording === version) {
      const byName = new Map(played.map((one) => [one.name, one]));
      contract.exchanges = contract.exchanges.map((one) => ('do' in one ? one : (byName.get(one.name) ?? one)));
      writeFileSync(path, `${JSON.stringify(contract, null, 2)}\n`);
      return;
    }

    const faults = released.flatMap((before) => {
      const now = played.find(({ name }) => name === before.name);
      const [was, is] = [before.status, now?.status];
      return [
        ...(was === is ? [] : [`${before.name}: answered ${was}, now ${is}: ${JSON.stringify(now?.answer)}`]),
        ...(was === is ? lost(before.answer ?? {}, now?.answer ?? {}).map((fault) => `${before.name}: ${fault}`) : []),
      ];
    });
    expect(faults).toEqual([]);
    expect(released.length).toBeGreaterThan(40);
  });
});

describe('S-117 versioned paths', () => {
  /** Those of other protocols, of the process, and of an API that Outrigger stands in for. */
  const withoutVersion =
    /^\/(healthz|readyz|metrics|openapi\.json|docs|login|oauth|git|mcp|coder|hooks|api\/(workspaces|agent|container|projects))(\/|$)/;

  it('S-117 names its version in the path of every route of its own', () => {
    const paths = outrigger.service.routes.map(({ path }) => path);

    expect(paths.filter((path) => !/\/v\d+\//.test(path) && !withoutVersion.test(path))).toEqual([]);
  });

  it('S-117 says of a route that is going since when, until when and what takes its place, also when it refuses', async () => {
    const deprecated = {
      since: new Date('2026-11-21T00:00:00Z'),
      sunset: new Date('2027-06-30T12:00:00Z'),
      instead: '/api/v3/agents/tasks',
    };
    const pass = () => Promise.resolve();
    const refuse = () => Promise.reject(new Error('no'));
    const route = {
      method: 'get',
      summary: '',
      handler: (_request: unknown, response: { json(body: unknown): void }) => response.json({}),
    } as const;
    const web = makeWebServer({
      routes: [
        { ...route, path: '/old', guard: 'open', deprecated },
        { ...route, path: '/old-and-closed', guard: 'user', deprecated },
        { ...route, path: '/new', guard: 'open' },
      ],
      guards: { open: pass, user: refuse, task: pass, proof: pass },
      bodyLimitBytes: 1_000,
      clock: makeTestClock(),
      log: silentLogger,
    });
    const { port } = await web.listen({ host: '127.0.0.1', port: 0 });
    const said = async (path: string): Promise<(string | null)[]> => {
      const { headers } = await fetch(`http://127.0.0.1:${port}${path}`);
      return ['Deprecation', 'Sunset', 'Link'].map((name) => headers.get(name));
    };
    try {
      const going = ['@1795219200', 'Wed, 30 Jun 2027 12:00:00 GMT', '</api/v3/agents/tasks>; rel="successor-version"'];
      expect(await said('/old')).toEqual(going);
      expect(await said('/old-and-closed')).toEqual(going);
      expect(await said('/new')).toEqual([null, null, null]);
    } finally {
      await web.close(0);
    }
  });
});
