import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { toolLimits, toolTypes, type ReplyFrame, type RequestFrame } from '../../../../modules/contract.ts';
import {
  harnessKeyCanary,
  installTools,
  isRunning,
  until,
  type Tools,
} from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

/** The real bridge, run by the real OpenCode binary, in a workspace that is itself a repository. */
let tools: Tools;
let world: World;

const fixtures = join(import.meta.dirname, '../../../fixtures/bridge');
const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(join(fixtures, name), 'utf8').replaceAll('/workspace', world.workspace.repository));
/** Waits for its turn where the bucket is empty, which is tried in a test of its own. */
async function ask(type: string, payload: unknown, id: string = randomUUID()): Promise<ReplyFrame> {
  for (;;) {
    const reply = await world.service.sendRaw({ id, type, payload });
    if (reply.success || !reply.error.startsWith('Too many')) return reply;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

beforeAll(async () => {
  tools = await installTools();
  world = await startWorld({
    tools,
    environment: ({ repository }) => ({ WORKSPACE_DIR: repository }),
    files: { '.gitignore': 'scratch\n' },
  });
  await until('a connection', () => world.service.isConnected);
});
afterAll(async () => {
  expect(await world.end()).toEqual([]);
  tools.remove();
});

describe('P-64 the envelope', () => {
  it('P-64 is answered as each fixture says, in the order in which a person would send them', async () => {
    const names = readdirSync(fixtures).flatMap((name) => /^(.+)\.request\.json$/.exec(name)?.[1] ?? []);
    expect(names).toHaveLength(8);
    const request = (name: string) => fixture(`${name}.request.json`) as RequestFrame;
    // What the later ones find: a committed file and its folder, which is then changed.
    await ask('writeFile', { path: 'src/components/Button.tsx', content: 'export const Button = null;\n' });
    await ask('writeFile', { path: 'src/index.ts', content: '' });
    const identity = { name: 'Ada', email: 'ada@example.com' };
    expect(await ask('gitCommit', { message: 'first', path: '.', identity })).toMatchObject({ success: true });

    for (const name of ['writeFile', 'readFile', 'listFiles', 'searchCode', 'runCommand', ...names]) {
      const { id, type, payload } = request(name);
      const isDenied = name === 'error.command-not-allowed';
      const asked = { id, type, payload: { ...(payload as object), ...(isDenied ? { profile: 'read-only' } : {}) } };
      const reply = await ask(asked.type, asked.payload, asked.id);
      expect({ name, reply }).toMatchObject({ name, reply: fixture(`${name}.response.json`) });
    }
    // The literal answer to a write has no data.
    const written = await ask('writeFile', { path: 'scratch', content: '' });
    expect(Object.keys(written).sort()).toEqual(['id', 'success']);
  }, 120_000);

  it('P-64 of every refused request carries its id', async () => {
    const bad: readonly unknown[] = [undefined, null, 7, 'x', [], {}, { path: 7 }, { command: {} }, { query: [] }];
    for (const type of [...toolTypes, 'constructor', '__proto__', 'toString', ''])
      for (const payload of bad) {
        const id = randomUUID();
        const reply = await ask(type, payload, id);
        expect([type, payload, reply.id]).toEqual([type, payload, id]);
        if (!(type === 'listFiles' && typeof payload === 'object'))
          expect([type, payload, reply.success]).toEqual([type, payload, false]);
        if (!reply.success) expect(reply.error).not.toBe('');
      }
  }, 120_000);
});

describe('a command in a workspace (part of P-68)', () => {
  it('leaves no process behind, not even one that left its group, and finds no secret', async () => {
    const script = 'setsid sleep 86213 >/dev/null 2>&1 & sleep 0.2; env; cat /proc/$PPID/environ; ls /proc/1/environ';
    writeFileSync(join(world.workspace.repository, 'scratch'), script);

    const reply = await ask('runCommand', { command: 'sh scratch' });

    expect(reply).toMatchObject({ success: true, data: { exitCode: expect.any(Number), truncated: false } });
    const text = JSON.stringify(reply);
    for (const secret of [harnessKeyCanary, world.service.proof, 'canarybridge']) expect(text).not.toContain(secret);
    expect(text).toContain('PATH=');
    expect(isRunning('sleep 86213')).toBe(false);
  }, 120_000);

  it('that is sent twice, because a connection was lost, is done once', async () => {
    const frame = { id: randomUUID(), type: 'runCommand', payload: { command: 'sh -c "echo once >> scratch.log"' } };
    const first = await world.service.sendRaw(frame);
    const opened = (): number =>
      world.bridge.lines.filter((line) => line.includes('"connected to the service"')).length;
    const before = opened();
    world.service.cut();
    await until('another connection', () => opened() > before && world.service.isConnected);

    expect(await world.service.sendRaw(frame)).toEqual(first);
    expect(readFileSync(join(world.workspace.repository, 'scratch.log'), 'utf8')).toBe('once\n');
  }, 120_000);
});

describe('a flood (part of P-73)', () => {
  it('is answered whole: what is too much with an error, and not done', async () => {
    const replies = await Promise.all(
      Array.from({ length: 300 }, () => world.service.sendRaw({ id: randomUUID(), type: 'listFiles', payload: {} })),
    );

    const done = replies.filter(({ success }) => success).length;
    expect(done).toBeLessThan(300);
    expect(done).toBeGreaterThan(0);
    expect(replies.find(({ success }) => !success)).toMatchObject({
      error: expect.stringMatching(/^Too many requests/),
    });
    expect(toolLimits.burst).toBeLessThan(300);
  }, 120_000);
});
