import { afterAll, describe, expect, it } from '@jest/globals';
import { CoderError, createClient, type CoderErrorKind } from 'coder-sdk-ts';
import { randomUUID } from 'node:crypto';
import { makeCoder } from '../../service/coder/coder.ts';
import { systemClock } from '../../service/platform/clock.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { startSimulatedCoder } from '../support/coder/simulated-coder.ts';

/**
 * What we rely on in Coder, asked in the same words of the simulation and, when CODER_URL and
 * CODER_SESSION_TOKEN are set, of a live deployment. Nothing is started, stopped or deleted; what stays
 * behind in a live one are tokens that end after a minute and one small uploaded file.
 */
interface Target {
  readonly name: string;
  readonly url: string;
  /** Of an ordinary person, with all scopes. */
  readonly token: string;
}

const simulated = await startSimulatedCoder();
const person = simulated.addUser({ username: 'alice' });
simulated.addWorkspace({ owner: 'alice', name: 'running-box', running: true });
simulated.addWorkspace({ owner: 'alice', name: 'stopped-box', running: false });
afterAll(() => simulated.close());

const { CODER_URL: liveUrl, CODER_SESSION_TOKEN: liveToken } = process.env;
const targets: readonly Target[] = [
  { name: 'the simulated Coder', url: simulated.url, token: person.token },
  ...(liveUrl && liveToken ? [{ name: 'the live Coder', url: liveUrl, token: liveToken }] : []),
];

const statusWords = /^(pending|starting|running|stopping|stopped|failed|canceling|canceled|deleting|deleted)$/;
const jobWords = /^(pending|running|succeeded|canceling|canceled|failed|unknown)$/;
const context = { actor: 'service', requestId: null };
/** Well-formed, and nobody's. */
const foreignToken = `aaaaaaaaaa-${'b'.repeat(22)}`;

async function kindOf(act: Promise<unknown>): Promise<CoderErrorKind | 'succeeded'> {
  try {
    await act;
    return 'succeeded';
  } catch (error) {
    if (error instanceof CoderError) return error.kind;
    throw error;
  }
}

describe.each(targets)('S-74 $name', ({ url, token }) => {
  const client = createClient({ url, token });
  /** A token of the same person that may do only this. It ends by itself after a minute. */
  const narrowed = async (scopes: readonly string[]) => {
    const key = await client.createToken('me', {
      token_name: `outrigger-contract-${randomUUID().slice(0, 8)}`,
      lifetime: 60_000_000_000,
      scopes: [...scopes],
    });
    return createClient({ url, token: key });
  };
  const check = (
    object: { resource_type: string; resource_id?: string; owner_id?: string; organization_id?: string },
    action: string,
  ) => ({
    asked: { object, action },
  });

  it('tells its version without a token', async () => {
    expect((await createClient({ url }).buildInfo()).version).toMatch(/^v\d+\.\d+\.\d+/);
  });

  it('tells whose token it is', async () => {
    const user = await client.me();

    expect(user.username).toMatch(/^[a-zA-Z0-9-]+$/);
    expect(user.organization_ids).toContain((await client.organizations())[0]?.id);
  });

  it('answers 401 without a token, to a malformed one and to an unknown one', async () => {
    expect(await kindOf(createClient({ url }).me())).toBe('unauthenticated');
    expect(await kindOf(createClient({ url, token: 'nonsense' }).me())).toBe('unauthenticated');
    expect(await kindOf(createClient({ url, token: foreignToken }).listWorkspaces())).toBe('unauthenticated');
  });

  it('answers 404 on users/me to a token that lacks user:read', async () => {
    expect(await kindOf((await narrowed(['coder:workspaces.create'])).me())).toBe('not_found');
  });

  it('lets a token with coder:workspaces.create and user:read do what we delegate', async () => {
    const delegated = await narrowed(['coder:workspaces.create', 'user:read']);
    const [organization] = await client.organizations();
    const object = { resource_type: 'workspace', owner_id: 'me', organization_id: organization?.id ?? '' };

    expect((await delegated.me()).id).toBe((await client.me()).id);
    expect(await delegated.authCheck(check(object, 'start'))).toEqual({ asked: true });
    expect(await delegated.authCheck(check(object, 'delete'))).toEqual({ asked: false });
    expect((await delegated.listWorkspaces('owner:me')).length).toBe((await client.listWorkspaces('owner:me')).length);
  });

  it('refuses a scope that does not exist', async () => {
    expect(await kindOf(narrowed(['workspace:fly']))).toBe('invalid');
  });

  it("lists the caller's workspaces with words that we know", async () => {
    const { id } = await client.me();

    for (const workspace of await client.listWorkspaces('owner:me')) {
      expect(workspace.owner_id).toBe(id);
      expect(workspace.status).toMatch(statusWords);
      expect(workspace.latest_build.job.status).toMatch(jobWords);
      expect(await client.getWorkspace(workspace.id)).toMatchObject({ id: workspace.id, name: workspace.name });
      expect(await client.getWorkspaceByName('me', workspace.name)).toMatchObject({ id: workspace.id });
      expect(await client.getBuild(workspace.latest_build.id)).toMatchObject({ workspace_id: workspace.id });
    }
  });

  it('says what is wrong with a query', async () => {
    expect(await kindOf(client.listWorkspaces('colour:red'))).toBe('invalid');
    expect(await kindOf(client.listWorkspaces('status:asleep'))).toBe('invalid');
  });

  it('answers 404 for what does not exist', async () => {
    expect(await kindOf(client.getWorkspace(randomUUID()))).toBe('not_found');
    expect(await kindOf(client.getWorkspaceByName('me', 'no-such-box'))).toBe('not_found');
    expect(await kindOf(client.getBuild(randomUUID()))).toBe('not_found');
    expect(await kindOf(client.createBuild(randomUUID(), { transition: 'stop' }))).toBe('not_found');
    expect(await kindOf(client.getTemplateByName('default', 'no-such-template'))).toBe('not_found');
    expect(await kindOf(client.getTemplateVersion(randomUUID()))).toBe('not_found');
  });

  it('answers authcheck with false, not with an error, for what it does not know', async () => {
    const unknown = { resource_type: 'workspace', resource_id: randomUUID() };

    expect(await client.authCheck(check(unknown, 'read'))).toEqual({ asked: false });
    expect(await client.authCheck(check({ resource_type: 'spaceship' }, 'read'))).toEqual({ asked: false });
    expect(await client.authCheck(check({ resource_type: 'workspace', owner_id: 'me' }, 'fly'))).toEqual({
      asked: false,
    });
    expect(await client.authCheck({})).toEqual({});
  });

  it('refuses authcheck with more than ten resource ids', async () => {
    const asked = { object: { resource_type: 'workspace', resource_id: randomUUID() }, action: 'read' };
    const checks = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_none, index) => [`a${index}`, asked]));

    expect(Object.keys(await client.authCheck(checks(10))).length).toBe(10);
    expect(await kindOf(client.authCheck(checks(11)))).toBe('invalid');
  });

  it('gives the same file id for the same bytes', async () => {
    const bytes = new TextEncoder().encode('outrigger contract suite');

    expect(await client.uploadFile(bytes)).toBe(await client.uploadFile(bytes));
  });

  it('serves the room that calls it', async () => {
    const room = makeCoder({
      url,
      serviceToken: token,
      timeoutMs: 30_000,
      clock: systemClock,
      log: silentLogger,
      record: () => undefined,
    });
    const user = await room.whoIs(token, context);

    for (const { id, name, status, buildId } of await room.listOwnWorkspaces(token, context)) {
      for (const reference of [id, name, `${user.username}/${name}`])
        expect((await room.findWorkspace(token, reference, context)).id).toBe(id);
      expect(await room.may(token, id, ['read', 'ssh', 'fly'], context)).toEqual({ read: true, ssh: true, fly: false });
      if (status !== 'running') continue;
      expect(await room.ensureRunning(id, context)).toBe('running');
      expect((await room.readWorkspace(id, context))?.buildId).toBe(buildId);
    }
    const missing: unknown = await room.findWorkspace(token, randomUUID(), context).catch((error: unknown) => error);
    expect(missing).toBeInstanceOf(ServiceError);
    expect(missing).toMatchObject({ kind: 'not_found' });
  });
});
