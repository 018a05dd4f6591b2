import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { followTask, names } from '../../modules/contract.ts';
import {
  gatePath,
  installHelper,
  makeWorker,
  until,
  type Tools,
  type Worker,
} from '../modules/workspace/helper/world.ts';
import { startAppProxy, type AppProxy } from '../support/coder/app-proxy.ts';
import { startSimulatedCoder, type SimulatedCoder } from '../support/coder/simulated-coder.ts';

/** What Coder's proxy said to the same requests, recorded of 2.36.0. */
interface Recording {
  readonly request: { readonly path: string; readonly headers: { readonly Cookie?: string } };
  readonly response: {
    readonly status: number;
    readonly headers: { readonly location?: string };
    readonly body: { readonly $html: { readonly title: string | null } };
  };
}
const folder = new URL('../fixtures/coder/app-proxy/', import.meta.url);
const recordings = readdirSync(folder)
  .sort()
  .map((name) => [name, JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Recording] as const);

let tools: Tools;
let worker: Worker;
let coder: SimulatedCoder;
let proxy: AppProxy;
let isRunning = true;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  tools = await installHelper();
  worker = await makeWorker(tools, { OUTRIGGER_IDE_ENABLED: 'true' });
  coder = await startSimulatedCoder();
  tokens['member'] = coder.addUser({ username: 'alice' }).token;
  tokens['other-member'] = coder.addUser({ username: 'bob' }).token;
  tokens['owner'] = coder.addUser({ username: 'admin', roles: ['owner'] }).token;
  // As the template says it.
  const address = `http://127.0.0.1:${String(worker.port)}/${gatePath}/?folder=/workspace/app&${followTask}`;
  proxy = await startAppProxy(coder.url, {
    ...{ owner: 'alice', name: 'rec-main', isRunning: () => isRunning },
    apps: { [names.apps.ide]: address },
  });
  worker.start('serve');
  await until('the IDE', () => worker.state()?.phase === 'Ready');
});
afterAll(async () => {
  proxy.close();
  await coder.close();
  expect(await worker.end()).toEqual([]);
  tools.remove();
});

const app = `/@alice/rec-main.${names.workspaceAgent}/apps/${names.apps.ide}`;
const ask = async (path: string, session?: string): Promise<Response> =>
  await fetch(proxy.url + path, {
    redirect: 'manual',
    headers: session === undefined ? {} : { Cookie: `coder_session_token=${session}; other=1` },
  });
const health = async (): Promise<number> =>
  (await fetch(`http://127.0.0.1:${String(worker.port)}/${gatePath}/healthz`)).status;

describe('the simulated proxy', () => {
  it.each(recordings)('answers %s as Coder did', async (name, { request, response }) => {
    isRunning = !name.includes('stopped-workspace');
    const [, session] = /coder_session_token=<?([\w-]+)>?/.exec(request.headers.Cookie ?? '') ?? [];
    const answer = await ask(request.path, session === undefined ? undefined : (tokens[session] ?? session));
    isRunning = true;

    expect(answer.status).toBe(response.status);
    expect(answer.headers.get('location')?.replace(coder.url, 'http://coder.test')).toBe(response.headers.location);
    const { title } = response.body.$html;
    if (title !== null) expect(await answer.text()).toContain(`<title>${title}</title>`);
  });
});

describe('the app of the editor behind Coder', () => {
  it('opens for its owner, and hands the editor nothing that proves who that is (part of I-18)', async () => {
    const first = await ask(`${app}/`, tokens['member']);
    const second = await ask(first.headers.get('location') ?? '', tokens['member']);
    const third = await ask(`${app}/${second.headers.get('location') ?? ''}`, tokens['member']);

    expect([first.status, first.headers.get('location')]).toEqual([307, `${app}/?folder=/workspace/app&${followTask}`]);
    expect([second.status, second.headers.get('location')]).toEqual([302, '?folder=/workspace/app']);
    expect([third.status, await third.text()]).toEqual([200, 'got 0 bytes']);
    expect(worker.asked().at(-1)).toMatchObject({ url: '/?folder=/workspace/app', headers: { cookie: 'other=1' } });
    expect(JSON.stringify(worker.asked())).not.toContain(tokens['member']);
  });

  it.each([
    ['nobody, who is sent to the login', undefined, 303, /\/login\?/],
    ['another member', 'other-member', 404, /^$/],
    ['an owner of the whole Coder', 'owner', 404, /^$/],
  ])('stays closed to %s (part of I-18)', async (_who, name, status, location) => {
    const before = worker.asked().length;
    const answer = await ask(`${app}/?folder=/workspace/app`, name === undefined ? undefined : tokens[name]);

    expect(answer.status).toBe(status);
    expect(answer.headers.get('location') ?? '').toMatch(location);
    expect(worker.asked()).toHaveLength(before);
  });

  it('is healthy to Coder’s agent while the editor serves, and not while it does not (part of I-18)', async () => {
    const serving = await health();
    worker.wish(false, 1);
    await until('the IDE to stop', () => worker.state()?.phase === 'Stopped');

    expect([serving, await health()]).toEqual([200, 503]);
  });
});

/** A live Coder, a workspace in it that runs an editor, as `owner/name`, and the token of somebody else. */
const {
  CODER_URL: liveUrl,
  CODER_SESSION_TOKEN: ownToken,
  OUTRIGGER_TEST_EDITOR: liveWorkspace,
  OUTRIGGER_TEST_OTHER_TOKEN: otherToken,
} = process.env;
const withCoder = liveUrl && ownToken && liveWorkspace && otherToken ? it : it.skip;

withCoder('I-18 a real Coder opens the editor for its owner, sends others away, and finds it healthy', async () => {
  const [owner = '', name = ''] = (liveWorkspace ?? '').split('/');
  const path = `${liveUrl ?? ''}/@${owner}/${name}.${names.workspaceAgent}/apps/${names.apps.ide}/`;
  const answerTo = async (token: string | undefined): Promise<Response> =>
    await fetch(path, {
      redirect: token === ownToken ? 'follow' : 'manual',
      headers: token === undefined ? {} : { Cookie: `coder_session_token=${token}` },
    });
  const api = `${liveUrl ?? ''}/api/v2/users/${owner}/workspace/${name}`;
  const workspace = (await (await fetch(api, { headers: { 'Coder-Session-Token': ownToken ?? '' } })).json()) as {
    latest_build: { resources: { agents?: { apps: { slug: string; health: string; sharing_level: string }[] }[] }[] };
  };
  const apps = workspace.latest_build.resources.flatMap(({ agents = [] }) => agents.flatMap((agent) => agent.apps));
  const nobody = await answerTo(undefined);

  expect((await answerTo(ownToken)).status).toBe(200);
  expect([nobody.status, nobody.headers.get('location')]).toEqual([303, expect.stringContaining('/login')]);
  expect((await answerTo(otherToken)).status).toBe(404);
  expect(apps.find(({ slug }) => slug === names.apps.ide)).toMatchObject({ sharing_level: 'owner', health: 'healthy' });
});
