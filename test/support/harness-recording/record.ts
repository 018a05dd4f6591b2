/**
 * Records what the pinned OpenCode tells the bridge, for `test/tasks/outcome-matrix.test.ts`:
 *
 *   node --import tsx test/support/harness-recording/record.ts [case …]      # all cases: about six minutes
 *
 * The real bridge runs each case with the real OpenCode and the scripted model; its bundle gets a `fetch` that also writes
 * down what came from the harness. Run it when the pin of OpenCode moves, and review the difference.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as prettier from 'prettier';
import type { Evidence, Lease } from '../../../modules/contract.ts';
import { harnessPassword } from '../../../modules/opencode/bridge/harness-password.ts';
import type { HarnessEvent } from '../../../modules/opencode/bridge/harness.ts';
import { aLease, harnessKeyCanary, installTools, readIfThere, until, type Tools } from '../bridge/bridge-process.ts';
import { startWorld, type World } from '../bridge/world.ts';
import { cases, plays, type Case } from './cases.ts';
import { exitOfRun } from './exit-of-run.ts';
import { recordingsFolder, type Recording } from './recording.ts';
import { isTold, strip } from './strip.ts';

const recordingFetch = `
import { appendFileSync as appendToRecording } from 'node:fs';
const plainFetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const answer = await plainFetch(input, init);
  const url = new URL(String(input));
  const keep = (kind, text) => appendToRecording(process.env.HARNESS_RECORDING, JSON.stringify({ kind, port: url.port, text }) + '\\n');
  if (/^\\/session\\/[^/]+\\/message$/.test(url.pathname)) keep('messages', await answer.clone().text());
  if (url.pathname !== '/event' || !answer.body) return answer;
  const [body, copy] = answer.body.tee();
  (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of copy) keep('event', decoder.decode(chunk, { stream: true }));
  })().catch(() => undefined);
  return new Response(body, { status: answer.status, headers: answer.headers });
};
`;

interface Line {
  readonly kind: 'messages' | 'event';
  readonly port: string;
  readonly text: string;
}

const linesOf = (file: string): Line[] =>
  (readIfThere(file) ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);

const eventsOf = (lines: readonly Line[]): HarnessEvent[] =>
  lines
    .flatMap(({ kind, text }) => (kind === 'event' ? [text] : []))
    .join('')
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => JSON.parse(line.slice(5)) as HarnessEvent);

async function record(tools: Tools, one: Case, number: number): Promise<Recording> {
  const files = { file: '' };
  const world = await startWorld({
    tools,
    plays,
    environment: ({ agentDir }) => ({
      HARNESS_RECORDING: (files.file = join(agentDir, 'recording.ndjson')),
      ...(one.callLimit === undefined ? {} : { OUTRIGGER_CALL_LIMIT: String(one.callLimit) }),
    }),
  });
  try {
    const task_id = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
    const plain = aLease(one.prompt, { ...one.lease, task_id });
    const lease = { ...plain, environment: { ...plain.environment, ...one.environment } };
    const evidence = await play(world, one, lease, files.file);
    const lines = linesOf(files.file);
    const { directory, agentDir } = world.workspace;
    const exit = one.exit && {
      command: `opencode ${one.exit}`,
      code: await exitOfRun(lease, world.model.url, one.exit),
    };
    return strip(
      {
        recorded: true,
        source: 'OpenCode 1.18.33 with the scripted model',
        title: one.title,
        lease: { ...lease, task_token: 'ort_none' },
        decisions: one.decisions ?? [],
        ended_by: endingOf(one),
        events: eventsOf(lines).filter(isTold),
        messages: JSON.parse(lines.findLast(({ kind }) => kind === 'messages')?.text ?? '[]') as Recording['messages'],
        evidence,
        exit: exit ?? null,
      },
      [
        [directory, '/workspace'],
        [agentDir, '/agent'],
        [tools.directory, '/tools'],
      ],
    );
  } finally {
    await world.end();
  }
}

async function play(world: World, one: Case, lease: Lease, file: string): Promise<Evidence> {
  const { service } = world;
  service.offer(lease);
  for (const [index, decision] of (one.decisions ?? []).entries())
    await service.decide(await until(`ask ${index + 1}`, () => service.asks[index]), decision);
  if (one.then) {
    const { when } = one.then;
    await until(String(when), () => eventsOf(linesOf(file)).some((event) => when.test(JSON.stringify(event))));
    if ('stop' in one.then)
      await service.send('stop', { task_id: lease.task_id, attempt: lease.attempt, reason: one.then.stop });
    else await abort(file, lease);
  }
  return until('the result', () => service.resultOf(lease), 180_000);
}

async function abort(file: string, lease: Lease): Promise<void> {
  const lines = linesOf(file);
  const sessionId = eventsOf(lines).flatMap(({ properties }) => properties['sessionID'] ?? [])[0];
  const password = harnessPassword(harnessKeyCanary, lease);
  await fetch(`http://127.0.0.1:${lines[0]?.port}/session/${String(sessionId)}/abort`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`opencode:${password}`).toString('base64')}` },
  });
}

function endingOf({ then, limit }: Case): Recording['ended_by'] {
  if (limit) return { kind: 'limit', ...limit };
  return then && 'stop' in then ? { kind: 'stop', reason: then.stop } : null;
}

const wanted = process.argv.slice(2);
const tools = await installTools();
try {
  const bundle = join(tools.directory, 'bridge.js');
  chmodSync(bundle, 0o644);
  writeFileSync(bundle, recordingFetch + readFileSync(bundle, 'utf8'));
  chmodSync(bundle, 0o444);
  for (const [index, one] of cases.entries()) {
    if (wanted.length > 0 && !wanted.includes(one.name)) continue;
    const file = join(recordingsFolder, `${one.name}.json`);
    const text = JSON.stringify(await record(tools, one, index + 1));
    writeFileSync(file, await prettier.format(text, { ...(await prettier.resolveConfig(file)), filepath: file }));
    process.stdout.write(`${one.name}\n`);
  }
} finally {
  tools.remove();
}
