import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { WorkspaceBounds } from '../../service/coder/template-bounds.ts';
import { makeLimitsOfBridge } from '../../service/tasks/limits-of-bridge.ts';
import { choose, narrow, type WorkLimits } from '../../service/tasks/work-bounds.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

const service: WorkLimits = { defaultModel: 'house/small', allowedModels: null, maxProfile: 'trusted' };
const open: WorkspaceBounds = { models: [], maxProfile: 'trusted', model: null, profile: null, breach: null };
const limits = (workspace: Partial<WorkspaceBounds>, ours: Partial<WorkLimits> = {}): WorkLimits =>
  narrow({ ...service, ...ours }, { ...open, ...workspace });

describe('what a task gets', () => {
  it('is the choice of the workspace’s owner where it names none', () => {
    const chosen = limits({ models: ['house/small', 'house/large'], model: 'house/large', profile: 'trusted' });

    expect(choose(chosen, {})).toEqual({ model: 'house/large', profile: 'trusted' });
    expect(choose(chosen, { model: 'house/small', profile: 'read-only' })).toEqual({
      model: 'house/small',
      profile: 'read-only',
    });
  });

  it('is the first model of the template where its owner was not asked, and ask', () => {
    expect(choose(limits({ models: ['house/large', 'house/small'] }), {})).toEqual({
      model: 'house/large',
      profile: 'ask',
    });
  });

  it('is never more than the service allows, whatever the template says', () => {
    const ours = { allowedModels: ['house/small'], maxProfile: 'read-only' } as const;
    const chosen = limits({ models: ['house/large', 'house/small'], model: 'house/large', profile: 'trusted' }, ours);

    expect(choose(chosen, {})).toEqual({ model: 'house/small', profile: 'read-only' });
    expect(() => choose(chosen, { model: 'house/large' })).toThrow(/Allowed: house\/small\.$/);
    expect(() => choose(chosen, { profile: 'ask' })).toThrow(/Allowed: read-only\.$/);
  });

  it('is nothing where template and service have no model in common', () => {
    const chosen = limits({ models: ['theirs'] }, { allowedModels: ['house/small'] });

    expect(() => choose(chosen, {})).toThrow(/allow no model in common/);
    expect(() => choose(chosen, { model: 'theirs' })).toThrow(/allow no model in common/);
  });

  it('is nothing in a workspace that breaks its bounds', () => {
    const breach = { parameter: 'memory', value: '999999', allowed: 'at most 8192 MB' };

    expect(() => choose(limits({ breach }), {})).toThrow(/memory '999999'.*Allowed: at most 8192 MB/);
  });
});

describe('a lease', () => {
  let room: TasksRoom;
  beforeEach(async () => {
    room = await makeTasksRoom();
  });
  afterEach(async () => {
    await room.close();
  });

  const offered = async (): Promise<string> => {
    const id = await room.submit({ model: 'house/large' });
    await room.admission.admitNow();
    await room.turn(id, 1);
    return id;
  };
  const claim = () => room.handlers.claim(room.bridge, { slots: 1, holding: [] });

  it.each<[string, Partial<WorkLimits>, RegExp]>([
    ['the model is no longer allowed', { allowedModels: ['house/small'] }, /house\/large.*Allowed: house\/small/],
    ['the profile is no longer allowed', { maxProfile: 'read-only' }, /profile 'ask'.*Allowed: read-only/],
    [
      'the workspace was built beyond its bounds',
      { breach: { parameter: 'own_image', value: 'evil', allowed: 'no image of your own' } },
      /own_image 'evil'.*no image of your own/,
    ],
  ])('is refused for good, with the reason, when %s', async (_when, change, words) => {
    const id = await offered();
    room.limits = { ...service, ...change };

    expect(await claim()).toBeNull();
    await room.turn(id, 1);

    expect(await room.task(id)).toMatchObject({ state: 'finished', outcome: 'failed', reason: 'ContextError' });
    expect((await room.task(id)).message).toMatch(words);
    const { rows } = await room.data.database.pool.query<{ action: string; outcome: string }>(
      "select action, outcome from audit_event where action = 'task.lease_refused'",
    );
    expect(rows).toEqual([{ action: 'task.lease_refused', outcome: 'denied' }]);
    const tokens = await room.data.database.pool.query('select 1 from task_token');
    expect(tokens.rows).toEqual([]);
  });

  it('waits, and is not refused, while Coder does not say what the workspace allows', async () => {
    const id = await offered();
    room.limits = null;
    expect(await claim()).toBeNull();
    expect((await room.task(id)).state).toBe('starting');

    room.limits = service;
    expect(await claim()).toMatchObject({ task_id: id, model: 'house/large', profile: 'ask' });
  });
});

describe('the limits of a bridge', () => {
  const bridge = { workspaceId: 'w', generation: 1, ownerId: 'o', organizationId: 'g' };
  const workspace = { name: 'dev', transition: 'start', jobStatus: 'succeeded', buildId: 'b1', templateVersionId: 'v' };

  it('are asked for once per registration, so that a lease costs no call to Coder', async () => {
    const asked: string[] = [];
    let buildId = 'b1';
    const limitsOf = makeLimitsOfBridge({
      coder: { readWorkspace: () => Promise.resolve({ ...workspace, buildId } as never) },
      workspaceBounds: {
        of: (built) => {
          asked.push(built.buildId);
          return Promise.resolve({ ...open, maxProfile: built.buildId === 'b1' ? 'trusted' : 'read-only' });
        },
      },
      bounds: service,
    });

    expect((await limitsOf(bridge)).maxProfile).toBe('trusted');
    expect((await limitsOf(bridge)).maxProfile).toBe('trusted');
    buildId = 'b2';
    expect((await limitsOf({ ...bridge, generation: 2 })).maxProfile).toBe('read-only');

    expect(asked).toEqual(['b1', 'b2']);
  });

  it('are unknown while a build is under way, because the bridge may be that of the build before', async () => {
    const limitsOf = makeLimitsOfBridge({
      coder: { readWorkspace: () => Promise.resolve({ ...workspace, jobStatus: 'running' } as never) },
      workspaceBounds: { of: () => Promise.resolve(open) },
      bounds: service,
    });

    await expect(limitsOf(bridge)).rejects.toThrow(/is being built/);
  });
});
