import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { runPush, type Rendering } from '../../scripts/template-push.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { imageFlags, ran, renderedTemplates, type Ran } from './template-harness.ts';

const hourMs = 3_600_000;
const dormantMs = 14 * 24 * hourMs;

/** What this Coder does with dormancy: keeps it, forgets it without a word, or refuses it. */
type License = 'keeps' | 'ignores' | 'refuses';
interface Change {
  readonly call: string;
  readonly body: Readonly<Record<string, unknown>>;
}

let test: TestService;
let folder: string;
let rendering: Rendering;
let scheduling: Server;
let coderUrl: string;
let license: License;
let refusal = 'Dormancy is a Premium feature. Contact sales!';
let changes: Change[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-settings-'));
  rendering = renderedTemplates(folder);
  test = await startTestService();
  scheduling = createServer((request, response) => {
    void answer(request).then(({ status, body }) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(body),
    );
  });
  scheduling.listen(0, '127.0.0.1');
  await once(scheduling, 'listening');
  coderUrl = `http://127.0.0.1:${(scheduling.address() as AddressInfo).port}`;
});
afterAll(async () => {
  scheduling.close();
  await test.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  license = 'keeps';
  changes = [];
  test.coder.world.templates.clear();
});

/** Passes everything on to the simulated Coder, which knows no schedules, and plays their part itself. */
async function answer(request: IncomingMessage): Promise<{ status: number; body: Buffer }> {
  const sent = await collected(request);
  const path = request.url ?? '/';
  // Making a template, changing it, and making a version active.
  const isChange = /\/templates(\/[^/]+)?(\/versions)?$/.test(path) && request.method !== 'GET';
  const given = isChange ? (JSON.parse(sent.toString()) as Change['body']) : {};
  if (isChange) changes.push({ call: `${request.method} ${path.split('/').at(-1)}`, body: given });
  if (license === 'refuses' && given['dormant_ttl_ms'] !== undefined)
    return { status: 403, body: Buffer.from(JSON.stringify({ message: refusal })) };
  const { method = 'GET', headers } = request;
  const passed = await fetch(test.coder.url + path, {
    method,
    headers: Object.entries(headers).flatMap(([name, value]): [string, string][] =>
      typeof value === 'string' && !['host', 'connection', 'content-length'].includes(name) ? [[name, value]] : [],
    ),
    ...(sent.length > 0 ? { body: new Uint8Array(sent) } : {}),
  });
  const body = Buffer.from(await passed.arrayBuffer());
  if (!isChange || !passed.ok) return { status: passed.status, body };
  const kept = license === 'keeps' ? { time_til_dormant_ms: given['dormant_ttl_ms'] } : {};
  const whole = { ...(JSON.parse(body.toString()) as object), ...kept };
  return { status: passed.status, body: Buffer.from(JSON.stringify(whole)) };
}

async function collected(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

const push = (): Promise<Ran> => {
  const { token } = test.coder.addUser({
    username: `admin-${test.coder.world.users.size}`,
    roles: ['template-admin'],
  });
  return ran({ coderUrl, token, home: folder }, (around) =>
    runPush(
      rendering,
      ['docker'],
      { service: test.url, output: 'json', var: imageFlags, timeout: '60', force: true },
      around,
    ),
  );
};

describe('the schedule of a template', () => {
  it('P-25 sets autostop and dormancy when push makes the template, and never again, so that what an admin set stands', async () => {
    const made = await push();
    const again = await push();

    expect([made.code, again.code]).toEqual([0, 0]);
    expect(changes.map(({ call }) => call).filter((call) => call === 'POST templates')).toHaveLength(1);
    expect(changes[0]?.body).toMatchObject({
      default_ttl_ms: 8 * hourMs,
      activity_bump_ms: hourMs,
      dormant_ttl_ms: dormantMs,
    });
    expect(changes.length).toBeGreaterThan(1);
    for (const { body } of changes.slice(1))
      expect(Object.keys(body).filter((key) => /ttl|bump|dormant/.test(key))).toEqual([]);
    expect(made.stderr).not.toContain('dormancy');
  });

  it.each<[License, number]>([
    ['ignores', 1],
    ['refuses', 2],
  ])('goes without dormancy, after one line, where Coder %s it', async (how, calls) => {
    license = how;
    const { code, stderr } = await push();

    expect(code).toBe(0);
    expect(stderr.split('\n').filter((line) => line.includes('dormancy'))).toEqual([
      expect.stringMatching(/^This Coder sets no unused workspace of docker aside.* They stop after 8 h/),
    ]);
    expect(changes.filter(({ call }) => call === 'POST templates')).toHaveLength(calls);
    expect(changes.at(-1)?.body).toMatchObject({ default_ttl_ms: 8 * hourMs, activity_bump_ms: hourMs });
  });

  it('is no excuse for a push that Coder refuses for another reason', async () => {
    license = 'refuses';
    refusal = 'You may not make templates.';
    const { code, stderr } = await push();

    expect(code).toBe(1);
    expect(stderr).toContain('You may not make templates.');
    expect(changes).toHaveLength(1);
  });
});
