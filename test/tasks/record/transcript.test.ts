import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { limits, type Lease, type TaskEvent } from '../../../modules/contract.ts';
import { silentLogger } from '../../../service/platform/logger.ts';
import { pruneRecords } from '../../../service/tasks/record/retention.ts';
import { makeAuditLog } from '../../../service/audit/audit-log.ts';
import { startOutrigger } from '../../scripts/outrigger-process.ts';
import { eventually } from '../../support/clock.ts';
import { connectFakeBridge, goodEvidence, takeLease, type FakeBridge } from '../../support/fake-bridge.ts';
import { startTestService, type TestService } from '../../support/service.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let directory: string;
beforeAll(async () => {
  outrigger = await startTestService();
  bridge = await outrigger.bridge();
  directory = mkdtempSync(join(tmpdir(), 'outrigger-record-'));
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
  rmSync(directory, { recursive: true, force: true });
});

const body = {
  type: 'opencode',
  payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
};
const base = '/api/v2/agents/tasks';
const [ada, bob] = ['ada', 'bob'] as const;

const get = (path: string, who: 'ada' | 'bob' = ada) => outrigger.call(outrigger.people[who], 'GET', base + path);

async function begin(): Promise<Lease> {
  await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', body);
  return takeLease(bridge);
}
async function end(lease: Lease): Promise<void> {
  await bridge.request('result', { ...lease, evidence: goodEvidence() });
  await eventually('the end', async () => (await get(`/${lease.task_id}`)).body.state === 'finished');
}
const eventsIn = (ndjson: string): TaskEvent[] =>
  ndjson
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TaskEvent);
const transcript = async (lease: Lease): Promise<TaskEvent[]> =>
  eventsIn((await get(`/${lease.task_id}/transcript`)).body as string);
const textOf = (events: readonly TaskEvent[]): string =>
  events.map(({ type, data }) => (type === 'message.text' ? String(data['text']) : '')).join('');
const download = async (path: string): Promise<Response> =>
  fetch(outrigger.url + base + path, { headers: { 'Coder-Session-Token': outrigger.people.ada.token } });

/** Leaves a file as a bridge does; answers the service's last word. */
async function leave(lease: Lease, name: string, data: Buffer, chunk = 300_000, ahead = 0) {
  const file = { name, bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') };
  const send = (offset: number, piece: Buffer) =>
    bridge.request('artifact', {
      task_id: lease.task_id,
      attempt: lease.attempt,
      ...file,
      offset,
      data: piece.toString('base64'),
    });
  let stand = await send(ahead, data.subarray(0, 0));
  while (!stand.complete) {
    const before = stand.received;
    stand = await send(before, data.subarray(before, before + chunk));
    if (stand.received === before && !stand.complete) throw new Error('nothing was taken');
  }
  return stand;
}

describe('the transcript of a task', () => {
  it('has every event once and in order, although connections to the database and to the bridge are lost (part of D7)', async () => {
    const lease = await begin();
    const count = 30;
    let current = bridge;
    let acked = 0;
    let lost = 0;
    const killed = setInterval(() => {
      lost += 1;
      void outrigger.database.pool
        .query(
          `select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and query like '%task_event%'`,
        )
        .catch(() => undefined);
    }, 30);
    try {
      await eventually(
        'every event to be taken',
        async () => {
          // What was not answered is sent again from the last number that was, as a bridge does.
          const sent = [...Array(Math.min(8, count - acked)).keys()].map((index) => {
            const seq = acked + index + 1;
            const late = new Promise<number>((_resolve, reject) => setTimeout(() => reject(new Error('late')), 1_000));
            return Promise.race([current.event(lease, seq, 'message.text', { text: `${seq} ` }), late]);
          });
          const answers = await Promise.allSettled(sent);
          for (const one of answers) if (one.status === 'fulfilled') acked = Math.max(acked, one.value);
          if (answers.some((one) => one.status === 'rejected')) {
            current.close();
            current = await connectFakeBridge(outrigger.url, bridge.token).catch(() => current);
          }
          return acked >= count;
        },
        120_000,
      );
    } finally {
      clearInterval(killed);
    }
    bridge = current;

    const events = await transcript(lease);

    expect(lost).toBeGreaterThan(0);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_event, index) => index + 1));
    expect(textOf(events)).toBe(Array.from({ length: count }, (_none, index) => `${index + 1} `).join(''));
    await end(lease);
  }, 150_000);

  it('holds no secret that can be told by its looks', async () => {
    const lease = await begin();
    const secrets = [
      'sk-or-v1-0123456789abcdef0123456789abcdef',
      `ghp_${'a1'.repeat(18)}`,
      'AKIAIOSFODNN7EXAMPLE',
      'Ab3defGhij-ABCDEFGHIJKLMNOPQRSTU1',
      '-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----',
      `ort_${'x'.repeat(43)}`,
      'https://ada:hunter2hunter2@example.com/',
      'DB_PASSWORD=correct-horse-battery',
    ];
    await bridge.event(lease, 1, 'message.text', { text: `Found: ${secrets.join(' ')}. Basic understanding stays.` });
    await bridge.event(lease, 2, 'tool.started', { title: secrets[0], nested: { command: [`echo ${secrets[1]}`] } });
    await bridge.request('result', {
      ...lease,
      evidence: goodEvidence({ last_message: { finish: 'stop', error: null, text: `Done: ${secrets.join(' ')}` } }),
    });
    await eventually('the end', async () => (await get(`/${lease.task_id}`)).body.state === 'finished');

    const shown = JSON.stringify([await transcript(lease), (await get(`/${lease.task_id}`)).body]);

    for (const secret of ['sk-or-v1', 'ghp_a1', 'AKIAIOS', 'Ab3def', 'MIIEow', 'ort_xxx', 'hunter2', 'correct-horse'])
      expect([secret, shown.includes(secret)]).toEqual([secret, false]);
    expect(shown).toContain('Basic understanding stays.');
    expect(shown).toContain('DB_PASSWORD=[redacted]');
  });

  it('is bounded: says once that it is full, and keeps what the service says of the task', async () => {
    const lease = await begin();
    await outrigger.database.pool.query('update task set event_bytes = $1 where id = $2', [
      limits.transcriptBytes - 1_000,
      lease.task_id,
    ]);
    for (let seq = 1; seq <= 5; seq += 1) await bridge.event(lease, seq, 'message.text', { text: 'x'.repeat(500) });
    await end(lease);

    const events = await transcript(lease);

    expect(events.filter(({ type }) => type === 'message.text')).toHaveLength(1);
    expect(events.filter(({ type }) => type === 'bridge.notice')).toMatchObject([
      { data: { notice: expect.stringContaining('full') } },
    ]);
    expect(events.at(-1)?.type).toBe('task.finished');
  });

  it('can be read by who may see the task, in a format that is one', async () => {
    const lease = await begin();
    await end(lease);

    const [mine, his, nonsense] = await Promise.all([
      get(`/${lease.task_id}/transcript`),
      get(`/${lease.task_id}/transcript`, bob),
      get(`/${lease.task_id}/transcript?format=pdf`),
    ]);

    expect([mine.status, his.status, nonsense.status]).toEqual([200, 404, 400]);
    expect(mine.headers.get('content-disposition')).toContain('attachment');
  });
});

describe('the files that a task leaves', () => {
  const large = Buffer.alloc(1_000_000, 'ab');

  it('are kept whole, whatever is sent twice or out of order, and are downloaded and never shown', async () => {
    const lease = await begin();
    await leave(lease, 'report/final “draft”.html', large);
    await leave(lease, 'report/final “draft”.html', large);
    await leave(lease, 'empty', Buffer.alloc(0), 10, 0);
    await leave(lease, 'again.txt', Buffer.from('first'));
    await leave(lease, 'again.txt', Buffer.from('second'), 3, 100);

    const { items } = (await get(`/${lease.task_id}/artifacts`)).body;
    const answer = await download(`/${lease.task_id}/artifacts/${items[2].id}`);

    expect(items.map((one: { name: string; bytes: number }) => [one.name, one.bytes])).toEqual([
      ['again.txt', 6],
      ['empty', 0],
      ['report/final “draft”.html', 1_000_000],
    ]);
    expect(Buffer.from(await answer.arrayBuffer()).equals(large)).toBe(true);
    expect(Object.fromEntries([...(answer.headers as unknown as Iterable<[string, string]>)])).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': expect.stringMatching(
        /^attachment; filename="final__draft_.html"; filename\*=UTF-8''final/,
      ),
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringContaining('sandbox'),
    });
    expect((await get(`/${lease.task_id}/artifacts/${items[0].id}`, bob)).status).toBe(404);
    expect((await get(`/${lease.task_id}/artifacts/no-id`)).status).toBe(404);
    await end(lease);
  });

  it('are refused with another content than announced, with a hostile name, above the bounds, and after the attempt', async () => {
    const lease = await begin();
    const ref = { task_id: lease.task_id, attempt: lease.attempt };
    const send = (change: object) =>
      bridge.request('artifact', {
        ...ref,
        name: 'a.txt',
        bytes: 3,
        sha256: '0'.repeat(64),
        offset: 0,
        data: Buffer.from('abc').toString('base64'),
        ...change,
      });

    await expect(send({})).rejects.toThrow('not those that were announced');
    for (const name of ['../a', '/etc/passwd', 'a/../b', 'a//b', '.', 'a\u0000b', 'a\\b', 'a\nb', '', 'x'.repeat(300)])
      await expect(send({ name })).rejects.toThrow('artifact: name');
    await expect(send({ bytes: 2 ** 40 })).rejects.toThrow('artifact: bytes');
    await expect(send({ bytes: 2 })).rejects.toThrow('announced');
    await expect(send({ attempt: 2 })).rejects.toThrow("not this bridge's");
    for (let file = 0; file < 4; file += 1) await send({ name: `big${file}`, bytes: 16 * 1024 * 1024, data: '' });
    await expect(send({ name: 'one-more' })).rejects.toThrow('at most');
    await end(lease);
    await expect(send({ name: 'late' })).rejects.toThrow("not this bridge's");
    expect((await get(`/${lease.task_id}/artifacts`)).body.items).toEqual([]);
  });

  it('come with the transcript in an archive that unzip takes, by the command line as well', async () => {
    const lease = await begin();
    await bridge.event(lease, 1, 'message.text', { text: 'Half a line, ' });
    await bridge.event(lease, 2, 'message.text', { text: 'and the rest.\nAnother\u001b[31m line' });
    await leave(lease, 'out/größe.bin', large);
    await end(lease);
    const environment = {
      CODER_URL: outrigger.coder.url,
      CODER_SESSION_TOKEN: outrigger.people.ada.token,
      OUTRIGGER_URL: outrigger.url,
    };
    const path = join(directory, 'work.zip');

    const exported = await startOutrigger(['task', 'export', lease.task_id, '--output', path], environment).ended;
    const again = await startOutrigger(['task', 'export', lease.task_id, '--output', path], environment).ended;
    const logs = await startOutrigger(['task', 'logs', lease.task_id], environment).ended;

    const script = `import hashlib, json, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
print(json.dumps({i.filename: [i.file_size, hashlib.sha256(archive.read(i)).hexdigest()] for i in archive.infolist()}))`;
    const inside = JSON.parse(execFileSync('python3', ['-c', script, path], { encoding: 'utf8' })) as object;
    expect(exported).toMatchObject({ status: 0, stdout: expect.stringContaining(path) });
    expect(again).toMatchObject({ status: 2, stderr: expect.stringContaining('is there already') });
    expect(inside).toMatchObject({
      'task.json': [expect.any(Number), expect.any(String)],
      'transcript.ndjson': [expect.any(Number), expect.any(String)],
      'artifacts/out/größe.bin': [large.length, createHash('sha256').update(large).digest('hex')],
    });
    expect(logs.stdout).toContain('\nHalf a line, and the rest.\nAnother\\u001b[31m line\n· file out/größe.bin kept');
  }, 60_000);
});

describe('how long a record is kept', () => {
  const admin = () => outrigger.people.admin;
  const path = '/api/v2/agents/retention';

  it('is said by an admin of the organization, and then what is older goes, with a line in the audit', async () => {
    const lease = await begin();
    await leave(lease, 'a.txt', Buffer.from('kept'));
    await end(lease);
    const organizationId = (await get(`/${lease.task_id}`)).body.organization_id as string;
    const days = (who: TestService['people']['ada'], transcript_days: unknown) =>
      outrigger.call(who, 'PUT', `${path}?organization_id=${organizationId}`, { transcript_days });

    const refused = await days(outrigger.people.ada, 1);
    const nonsense = await days(admin(), 0);
    const said = await days(admin(), 7);
    const read = await outrigger.call(outrigger.people.ada, 'GET', path);

    expect([refused.status, nonsense.status, said.status]).toEqual([403, 400, 200]);
    expect(read.body).toMatchObject({ transcript_days: 7, default_transcript_days: 90 });
    const keys = { hmac: Buffer.alloc(32) };
    const parts = { database: outrigger.database, clock: outrigger.clock, log: silentLogger };
    const prune = () => pruneRecords({ ...parts, audit: makeAuditLog({ ...parts, keys }) });
    await prune();
    expect((await transcript(lease)).length).toBeGreaterThan(3);

    const live = await begin();
    outrigger.clock.advance(8 * 86_400_000);
    expect(await prune()).toBeGreaterThan(0);
    expect(await prune()).toBe(0);

    const gone = await get(`/${lease.task_id}/transcript`);
    expect(gone).toMatchObject({ status: 404, body: { code: 'transcript_pruned' } });
    expect((await get(`/${lease.task_id}/artifacts`)).body.items).toEqual([]);
    expect((await get(`/${lease.task_id}`)).body).toMatchObject({ state: 'finished', outcome: 'succeeded' });
    expect((await transcript(live)).length).toBeGreaterThan(0);
    const { rows } = await outrigger.database.pool.query<{ data: object }>(
      `select data from audit_event where action = 'task.record_pruned' and target_id = $1`,
      [lease.task_id],
    );
    expect(rows).toMatchObject([{ data: { artifacts: 1, transcript_days: 7 } }]);
    const { rows: left } = await outrigger.database.pool.query(
      'select 1 from artifact_chunk c join artifact a on a.id = c.artifact_id where a.task_id = $1',
      [lease.task_id],
    );
    expect(left).toEqual([]);
  });
});
