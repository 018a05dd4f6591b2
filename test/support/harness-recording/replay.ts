import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Evidence } from '../../../modules/contract.ts';
import { makeApprovalGuard } from '../../../modules/opencode/bridge/approval-guard.ts';
import { makeAsks } from '../../../modules/opencode/bridge/asks.ts';
import { evidenceOf, failureOf, noProgress } from '../../../modules/opencode/bridge/attempt-evidence.ts';
import { talk } from '../../../modules/opencode/bridge/converse.ts';
import { makeEndSwitch } from '../../../modules/opencode/bridge/ending.ts';
import { makeHarnessClient } from '../../../modules/opencode/bridge/opencode-1/client.ts';
import { openCode } from '../../../modules/opencode/bridge/opencode-1/opencode.ts';
import { makeSteering } from '../../../modules/opencode/bridge/steering.ts';
import type { Recording } from './recording.ts';

interface Replay {
  readonly port: number;
  /** Resolves when every event was sent. */
  readonly played: Promise<void>;
  close(): Promise<void>;
}

/** A harness that says what was recorded, once it is prompted, and waits wherever the recorded one waited. */
async function startReplay(recording: Recording): Promise<Replay> {
  const sessionId = recording.evidence.session_id ?? 'ses_1';
  const first = recording.events.findIndex(({ type }) => type === 'server.connected') + 1;
  const answered = new Map<string, () => void>();
  let isPrompted = false;
  let hasPlayed = false;
  let prompted: () => void = () => undefined;
  let end: () => void = () => undefined;
  const prompt = new Promise<void>((resolve) => (prompted = resolve));
  const played = new Promise<void>((resolve) => (end = resolve));

  async function sendEvents(response: ServerResponse): Promise<void> {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const [index, event] of recording.events.entries()) {
      if (index === first) await prompt;
      const id = String(event.properties['id']);
      const answer = /\.asked$/.test(event.type) ? new Promise<void>((resolve) => answered.set(id, resolve)) : null;
      response.write(`data: ${JSON.stringify(event)}\n\n`);
      await answer;
    }
    hasPlayed = true;
    end();
  }

  const isBusy = (): boolean => isPrompted && (!hasPlayed || recording.ended_by !== null);
  const routes: readonly (readonly [RegExp, (match: RegExpExecArray) => unknown])[] = [
    [/^GET \/session\/status$/, () => (isBusy() ? { [sessionId]: { type: 'busy' } } : {})],
    [/^GET \/session\/[^/]+\/message$/, () => (isPrompted ? recording.messages : [])],
    [/^GET \/session$/, () => []],
    [/^GET \/permission$/, () => []],
    [/^POST \/session$/, () => ({ id: sessionId })],
    [/^POST \/(?:permission|question)\/([^/]+)\/(?:reply|reject)$/, ([, id = '']) => answered.get(id)?.() ?? true],
  ];

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const asked = `${request.method} ${(request.url ?? '').split('?')[0]}`;
    if (asked === 'GET /event') return void sendEvents(response);
    if (asked.endsWith('/prompt_async')) {
      isPrompted = true;
      prompted();
      return void response.writeHead(204).end();
    }
    for (const [pattern, answer] of routes) {
      const match = pattern.exec(asked);
      if (match)
        return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer(match)));
    }
    response.writeHead(404).end();
  }

  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    played,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * The evidence that the bridge makes of a recording: its client, its turn, its questions and its ending are the real ones.
 *
 * What does not come from the stream is taken from the recording: what git and the verify command said, and the receipt
 * of a stop.
 */
export async function replayEvidence(recording: Recording): Promise<Evidence> {
  const { lease, evidence: told } = recording;
  const replay = await startReplay(recording);
  const progress = noProgress();
  const endSwitch = makeEndSwitch();
  const client = makeHarnessClient({ port: replay.port, password: 'any', directory: '/workspace' });
  const decisions = [...recording.decisions];
  const guard = makeApprovalGuard({
    asking: openCode.asking(lease.profile),
    onDropped: () => undefined,
    onBypassed: (message) => endSwitch.request({ kind: 'limit', reason: 'ApprovalBypassed', message }),
  });
  const asks = makeAsks(
    ({ ask_id }) => void Promise.resolve().then(() => asks.decide(ask_id, decisions.shift() ?? 'reject')),
    () => client,
    guard,
  );
  void replay.played.then(() => recording.ended_by && endSwitch.request(recording.ended_by));
  const parts = { outbox: { event: () => undefined }, status: { tell: () => undefined }, log: () => undefined };
  const story = { parts, lease, progress, asks, guard, steering: makeSteering([]) };
  let failure: Evidence['failure'] = null;
  try {
    progress.lastMessage = await endSwitch.guard(talk(story, client, { path: '/workspace' }, endSwitch.signal));
    progress.work = {
      diff: told.diff,
      changedFiles: told.changed_files,
      commit: told.commit,
      isNewCommit: told.commit !== null,
    };
    progress.verified = { verify: told.verify, isRejected: told.verify_rejected };
    if (told.verify_rejected) void (await asks.ask({ ask_id: 'verify', kind: 'verify', title: 'Verify', detail: {} }));
  } catch (error) {
    failure = failureOf(error, endSwitch.ending);
  } finally {
    await replay.close();
  }
  const receipt = told.stop ?? { stopped_at: '', method: 'term', processes_left: 0, tokens_after_stop: 0 };
  const rejectedAsks = asks.rejectedCount;
  return {
    ...evidenceOf(progress, { failure, receipt, ending: endSwitch.ending, rejectedAsks }),
    branch: told.branch,
  };
}
