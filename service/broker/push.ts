import { ServiceError } from '../platform/errors.ts';
import { tooManyPushes, tooManyRequests } from './faults.ts';
import { begin, bodyOf, clientHeaders, credentialOf, pour, type GitCall, type GitCallParts } from './git-call.ts';
import { mustAllowPush } from './grant.ts';
import { buildsOn, readCommits } from './pack-commits.ts';
import { notForward, reasonAgainst } from './push-policy.ts';
import { readReport, refusalReport } from './push-report.ts';
import { isZero, readPushRequest, type PushRequest } from './push-request.ts';

/** Reasons by branch; nothing is sent while there is one. */
type Reasons = ReadonlyMap<string, string>;

const longestReport = 1024 * 1024;
const resultType = 'application/x-git-receive-pack-result';

/**
 * Passes a push on when every branch in it may be moved; else answers as a forge would that refuses it.
 *
 * Order    command list read → judged → for branches that exist the commits read → audit (`intent`) → sent → audit.
 *          A forge refuses an `old` id that is not what it has, so the client's word for it is enough.
 */
export async function push(parts: GitCallParts, call: GitCall): Promise<void> {
  mustAllowPush(call.grant.credential);
  const body = bodyOf(call, parts.limits.pushBytes);
  const asked = await readPushRequest(body);
  // Before a large push git sends an empty one, to see whether it would be let in.
  if (asked.commands.length === 0) return answer(call, Buffer.alloc(0));
  const refused = judge(call, asked);
  if (refused.size > 0) return refuse(parts, call, asked, refused, body);
  if (asked.commands.every(({ old }) => isZero(old))) return send(parts, call, asked, joined(asked, body));

  const { taskId } = call.identity;
  if (parts.held.has(taskId)) throw tooManyRequests();
  if (parts.held.size >= parts.limits.held) throw tooManyPushes();
  parts.held.add(taskId);
  try {
    const pack = await hold(joined(asked, body), parts.limits.heldBytes);
    const unproven = pack === null ? everyUpdate(asked, tooMuchToCheck) : await judgePack(asked, pack);
    if (pack === null || unproven.size > 0) return await refuse(parts, call, asked, unproven, body);
    await send(parts, call, asked, [pack]);
  } finally {
    parts.held.delete(taskId);
  }
}

const tooMuchToCheck = 'too much at once for a branch that exists; push to a new branch instead';

function judge({ grant }: GitCall, { commands }: PushRequest): Reasons {
  const reasons = new Map<string, string>();
  for (const command of commands) {
    const reason = reasonAgainst(command, grant.credential.branches);
    if (reason !== null) reasons.set(command.ref, reason);
  }
  return reasons;
}

const everyUpdate = ({ commands }: PushRequest, reason: string): Reasons =>
  new Map(commands.flatMap(({ old, ref }) => (isZero(old) ? [] : [[ref, reason] as const])));

/** What exists may only grow: the pack itself must show that the new commit builds on the old one. */
async function judgePack(asked: PushRequest, pack: Buffer): Promise<Reasons> {
  const hash = asked.commands[0]?.old.length === 64 ? 'sha256' : 'sha1';
  try {
    const graph = await readCommits(pack, hash);
    const loose = asked.commands.filter(({ old, new: next }) => !isZero(old) && !buildsOn(graph, next, old));
    return new Map(loose.map(({ ref }) => [ref, notForward]));
  } catch {
    return everyUpdate(asked, notForward);
  }
}

async function* joined({ rest }: PushRequest, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (rest.length > 0) yield rest;
  yield* body;
}

/** All of it, or null when it is more than that. */
async function hold(pack: AsyncIterable<Buffer>, mostBytes: number): Promise<Buffer | null> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  const iterator = pack[Symbol.asyncIterator]();
  for (let piece = await iterator.next(); piece.done !== true; piece = await iterator.next()) {
    bytes += piece.value.length;
    if (bytes > mostBytes) return null;
    pieces.push(piece.value);
  }
  return Buffer.concat(pieces);
}

async function refuse(
  parts: GitCallParts,
  call: GitCall,
  asked: PushRequest,
  reasons: Reasons,
  body: AsyncIterator<Buffer>,
): Promise<void> {
  const why = [...reasons].map(([ref, reason]) => `${ref}: ${reason}`).join('; ');
  await record(parts, call, asked, 'denied', why);
  // A client that is still sending hears nothing.
  for (let piece = await body.next(); piece.done !== true;) piece = await body.next();
  const report = refusalReport(asked.commands, reasons, asked.capabilities);
  if (report === null) throw new ServiceError('forbidden', 'git_push_refused', `The push is refused: ${why}.`);
  answer(call, report);
}

async function send(
  parts: GitCallParts,
  call: GitCall,
  asked: PushRequest,
  pack: AsyncIterable<Buffer> | Iterable<Buffer>,
): Promise<void> {
  await record(parts, call, asked, 'intent');
  const heard: Buffer[] = [];
  let bytes = 0;
  try {
    const forgeAnswer = await parts.forge.send({
      repository: call.grant.repository,
      service: call.service,
      headers: { ...clientHeaders(call), ...lengthOf(call) },
      credential: credentialOf(call),
      fuse: call.fuse,
      body: (async function* () {
        yield asked.head;
        yield* pack;
      })(),
    });
    await pour(call, forgeAnswer, (piece) => {
      bytes += piece.length;
      if (bytes <= longestReport) heard.push(piece);
    });
  } catch (error) {
    const code = error instanceof ServiceError ? error.code : (call.fuse.reason() ?? 'broken');
    await record(parts, call, asked, 'failure', `${code}: it is not known whether the forge took it`);
    throw error;
  }
  const problem = problemOf(Buffer.concat(heard), asked);
  await record(parts, call, asked, problem === null ? 'success' : 'failure', problem ?? undefined);
  call.response.end();
}

/** Null where the forge says that it took everything. */
function problemOf(heard: Buffer, { commands, capabilities }: PushRequest): string | null {
  const report = readReport(heard, capabilities);
  if (report === null) return 'the forge gave no report';
  if (report.unpack !== 'ok') return `not unpacked: ${report.unpack}`;
  const left = commands.flatMap(({ ref }) => {
    const reason = report.refs.has(ref) ? report.refs.get(ref) : 'not reported';
    return reason === null ? [] : [`${ref}: ${reason}`];
  });
  return left.length === 0 ? null : left.join('; ');
}

const record = (
  { record: write }: GitCallParts,
  call: GitCall,
  { commands }: PushRequest,
  outcome: 'intent' | 'success' | 'failure' | 'denied',
  reason?: string,
): Promise<void> =>
  write(call.identity, call.requestId, {
    action: 'git.pushed',
    outcome,
    repository: call.grant.repository,
    credential: call.grant.credential.name,
    commands,
    ...(reason === undefined ? {} : { reason: reason.replaceAll(call.secret, '[redacted]') }),
  });

/** The bytes that go on are those that came, so their number is too. */
function lengthOf({ request }: GitCall): Record<string, string> {
  const length = request.get('content-length') ?? '';
  return /^\d+$/.test(length) ? { 'content-length': length } : {};
}

function answer({ response }: GitCall, body: Buffer): void {
  begin(response, resultType);
  response.end(body);
}
