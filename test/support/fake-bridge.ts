import { randomUUID } from 'node:crypto';
import { WebSocket } from 'ws';
import type {
  AttemptRef,
  BridgeEventType,
  BridgeRequests,
  BridgeRequestType,
  Evidence,
  Lease,
  RegisterResponse,
  RequestFrame,
} from '../../modules/contract.ts';
import { failedEvidence } from '../../service/tasks/task.ts';

/** A bridge without a harness: speaks the frames by hand, so that a test says exactly what a workspace does. */
export interface FakeBridge {
  readonly token: string;
  /** Commands of the service, oldest first; each is answered with success at once. */
  readonly commands: readonly RequestFrame[];
  /** What it answers to commands of a type, or why it refuses, thrown; nothing in particular for the rest. */
  readonly answers: Map<string, (payload: unknown) => unknown>;
  readonly closed: Promise<number>;
  request<Type extends BridgeRequestType>(
    type: Type,
    payload: BridgeRequests[Type]['payload'],
  ): Promise<BridgeRequests[Type]['data']>;
  /** Sends any text and answers the reply with `id`. */
  raw(id: string, text: string): Promise<Reply>;
  event(lease: AttemptRef, sourceSeq: number, type: BridgeEventType, data?: Record<string, unknown>): Promise<number>;
  close(): void;
}

interface Reply {
  readonly id: string;
  readonly success: boolean;
  readonly data?: unknown;
  readonly error?: string;
}

export interface RegisterOptions {
  readonly url: string;
  readonly proof: string;
  readonly workspaceId: string;
  readonly agentId: string;
  readonly protocolVersion?: number;
  /** Default: none. */
  readonly capabilities?: readonly string[];
}

export async function registerBridge(options: RegisterOptions): Promise<Response> {
  return fetch(`${options.url}/api/v2/agents/opencode/register`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${options.proof}` },
    body: JSON.stringify({
      workspace_id: options.workspaceId,
      agent_id: options.agentId,
      version: '0.0.0-test',
      protocol_version: options.protocolVersion ?? 1,
      capabilities: options.capabilities ?? [],
      endpoint: 'http://10.0.0.1:9999',
    }),
  });
}

export async function startFakeBridge(options: RegisterOptions): Promise<FakeBridge> {
  const response = await registerBridge(options);
  if (response.status !== 201) throw new Error(`registration: ${response.status} ${await response.text()}`);
  const { bridge_token: token } = (await response.json()) as RegisterResponse;
  return connectFakeBridge(options.url, token);
}

export async function connectFakeBridge(url: string, token: string): Promise<FakeBridge> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/api/v2/agents/bridge`, {
    headers: { Authorization: `Bearer ${token}` },
  });
  const commands: RequestFrame[] = [];
  const answers: FakeBridge['answers'] = new Map();
  const open = new Map<string, (reply: Reply) => void>();
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  socket.on('message', (raw: Buffer) => {
    const frame = JSON.parse(raw.toString()) as RequestFrame | Reply;
    if (!('type' in frame)) {
      open.get(frame.id)?.(frame);
      open.delete(frame.id);
      return;
    }
    commands.push(frame);
    socket.send(JSON.stringify({ id: frame.id, ...answerOf(answers.get(frame.type), frame.payload) }));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', () => resolve());
    socket.once('error', reject);
  });
  socket.on('error', () => undefined);

  const raw = (id: string, text: string): Promise<Reply> =>
    new Promise((resolve) => {
      open.set(id, resolve);
      socket.send(text);
    });
  const bridge: FakeBridge = {
    token,
    commands,
    answers,
    closed,
    raw,
    async request(type, payload) {
      const id = randomUUID();
      const reply = await raw(id, JSON.stringify({ id, type, payload }));
      if (!reply.success) throw new Error(reply.error ?? 'refused');
      return reply.data as never;
    },
    async event({ task_id, attempt }, sourceSeq, type, data = {}) {
      const at = new Date().toISOString();
      const { acked } = await bridge.request('event', { task_id, attempt, source_seq: sourceSeq, type, at, data });
      return acked;
    },
    close: () => socket.close(),
  };
  return bridge;
}

function answerOf(answer: ((payload: unknown) => unknown) | undefined, payload: unknown): Omit<Reply, 'id'> {
  try {
    return { success: true, data: answer?.(payload) ?? {} };
  } catch (error) {
    return { success: false, error: (error as Error).message };
  }
}

/** Asks for work until there is some. */
export async function takeLease(bridge: FakeBridge, holding: readonly AttemptRef[] = []): Promise<Lease> {
  for (;;) {
    const { lease } = await bridge.request('lease', { slots: 1, holding });
    if (lease) return lease;
  }
}

/** Evidence of a turn that ended well and changed something. */
export const goodEvidence = (change: Partial<Evidence> = {}): Evidence => ({
  ...failedEvidence({ reason: 'AgentError', message: '', retryable: false }),
  failure: null,
  session_id: 'ses_test',
  last_message: { finish: 'stop', error: null, text: 'Done.' },
  diff: { files: 1, additions: 3, deletions: 0 },
  changed_files: ['a.txt'],
  branch: 'agent/test',
  commit: 'a'.repeat(40),
  ...change,
});
