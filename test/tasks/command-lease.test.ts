import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { commandCapability } from '../../modules/contract.ts';
import { goodEvidence } from '../support/fake-bridge.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

let room: TasksRoom;
beforeAll(async () => {
  room = await makeTasksRoom();
});
afterAll(() => room.close());

const check = { type: 'nix', payload: { action: 'nix_flake_check' } };
const registeredWith = (capabilities: readonly string[]) =>
  room.data.database.pool.query('update bridge set capabilities = $1::jsonb', [JSON.stringify(capabilities)]);

describe('work that is a command', () => {
  it('is refused to a bridge that would hand its prompt to a model, with what to do', async () => {
    await registeredWith(['lease', 'verify']);
    const id = await room.submit(check);
    await room.admission.admitNow();
    await room.turn(id, 1);

    expect(await room.handlers.claim(room.bridge, { slots: 1, holding: [] })).toBeNull();
    await room.turn(id, 1);
    expect(await room.task(id)).toMatchObject({
      outcome: 'failed',
      reason: 'ContextError',
      message: expect.stringMatching(/too old to run the commands of agent 'nix'\. Update the opencode image/),
    });
    const { rows } = await room.data.database.pool.query(
      `select data from audit_event where action = 'task.lease_refused'`,
    );
    expect(rows).toEqual([{ data: expect.objectContaining({ code: 'bridge_too_old' }) }]);
  });

  it('is leased with its command to one that can, and other work has none', async () => {
    await registeredWith([commandCapability]);
    const lease = await room.leased(check);
    expect(lease.command).toMatchObject({
      program: 'nix',
      arguments: ['flake', 'check', expect.any(String), expect.any(String)],
    });
    await room.handlers.result(room.bridge, { ...lease, evidence: goodEvidence() });
    await room.turn(lease.task_id, 1);

    expect(await room.leased()).not.toHaveProperty('command');
  });
});
