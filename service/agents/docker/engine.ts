import { Agent, request as dial } from 'undici';
import { AgentFailure } from '../agent-failure.ts';
import type { DockerAccess } from './docker-access.ts';

/** The Engine API of one Docker daemon. */
export interface Engine {
  /** Answers status and body of any answer but a failure of the daemon itself. Throws `AgentFailure`. */
  call(call: EngineCall, signal: AbortSignal): Promise<EngineAnswer>;
}

export interface EngineCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Below the version, with its query. */
  readonly path: string;
  readonly body?: unknown;
  /** How long the daemon may take; 30 seconds where nothing is said. */
  readonly answerMs?: number;
}

export interface EngineAnswer {
  readonly status: number;
  readonly bytes: Buffer;
}

type Fields = Readonly<Record<string, unknown>>;

/** Docker 20.10 has it, and daemons of today still take it. */
const version = 'v1.41';
const mostBytes = 8 * 1024 * 1024;
const usualMs = 30_000;

/** Follows no redirect and uses no proxy of the environment. */
export const makeEngine = (access: DockerAccess): Engine => ({
  async call(call, signal) {
    const answer = await send(access, call, signal);
    if (answer.status >= 500)
      throw new AgentFailure('UpstreamError', `Docker answered ${answer.status}: ${messageOf(answer)}`, true);
    return answer;
  },
});

async function send(
  { url, socketPath, tls }: DockerAccess,
  { method, path, body, answerMs = usualMs }: EngineCall,
  signal: AbortSignal,
): Promise<EngineAnswer> {
  // Of one call only: nobody must close it later.
  const dispatcher = new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    maxResponseSize: mostBytes,
    connect: { timeout: 10_000, ...(tls ?? {}), ...(socketPath === null ? {} : { socketPath }) },
  });
  try {
    const answer = await dial(new URL(`/${version}${path}`, url), {
      dispatcher,
      method,
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    return { status: answer.statusCode, bytes: Buffer.from(await answer.body.arrayBuffer()) };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'cut';
    throw new AgentFailure('UpstreamError', `Docker cannot be reached (${code}).`, true);
  } finally {
    await dispatcher.destroy();
  }
}

/** The body as an object; `{}` for any other. */
export function fieldsOf({ bytes }: EngineAnswer): Fields {
  const value = jsonOf(bytes);
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

export function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}

/** The daemon's own words. */
export const messageOf = (answer: EngineAnswer): string => {
  const { message } = fieldsOf(answer);
  return typeof message === 'string' ? message.slice(0, 500) : 'it did not say why';
};

/** An answer that is a failure of what was asked for. */
export const refused = (what: string, answer: EngineAnswer): AgentFailure =>
  new AgentFailure('ContextError', `Docker refused ${what} (${answer.status}): ${messageOf(answer)}`);
