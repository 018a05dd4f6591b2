import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answer } from './answer.ts';
import {
  completionRequest,
  conversationSince,
  isTitleRequest,
  systemText,
  userTexts,
  type CompletionRequest,
} from './conversation.ts';
import { scenarioIn, scenarios } from './scenarios.ts';
import type { Play, Step } from './step.ts';
import { defaultUsage, type ScriptedUsage } from './wire.ts';

export { script, type Play, type PlayStep, type Step } from './step.ts';

/** One call as the model saw it. */
export interface RecordedRequest {
  readonly model: string;
  readonly authorization: string | null;
  /** Headers whose names begin with `x-`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tools: readonly string[];
  readonly systemText: string;
  readonly userTexts: readonly string[];
  readonly messageCount: number;
  readonly stream: boolean;
  readonly includesUsage: boolean;
  /** A request for a title or a summary, not for work. */
  readonly isTitle: boolean;
  readonly scenario: string | null;
  readonly step: number;
  /** The caller went away before the answer was complete. */
  aborted: boolean;
  /** The whole answer was written. */
  finished: boolean;
}

export interface ScriptedModelOptions {
  readonly port?: number;
  /** Names that `GET /v1/models` lists. Any name is answered. */
  readonly models?: readonly string[];
  /** Natural prompts; tried before `SCENARIO:` names. The newest user message that matches any of them is the origin. */
  readonly plays?: readonly Play[];
  /**
   * User messages that begin like this are never the origin, even if they quote it: a resumed session goes on where it was.
   * Default: what a bridge may say on resuming ("Continue…", "Resume…", "The previous attempt…", "You were interrupted…").
   */
  readonly continuation?: RegExp;
  readonly usage?: Partial<ScriptedUsage>;
  readonly chunkDelayMs?: number;
  readonly wait?: (milliseconds: number) => Promise<void>;
}

export interface ScriptedModel {
  /** Base for OpenAI-compatible clients; ends in `/v1`. */
  readonly url: string;
  /** Every completion request so far, oldest first. */
  readonly requests: readonly RecordedRequest[];
  /** Those that asked for work, not for a title. */
  readonly workRequests: () => readonly RecordedRequest[];
  close(): Promise<void>;
}

const continuationDefault =
  /^\s*(continue|resume|the previous attempt|you were interrupted|this (task|session) was interrupted)/i;

/**
 * An OpenAI-compatible model on a loopback port that plays scripts; it never goes out.
 *
 * The answer depends on the request alone, so any number of sessions may run at once and a restart forgets nothing
 * (`SCENARIO:flaky` excepted). What is played: a title for requests without tools; else the first play that matches the
 * newest matching user message; else the scenario its newest user message with `SCENARIO:` names; else "Done.".
 */
export async function startScriptedModel(options: ScriptedModelOptions = {}): Promise<ScriptedModel> {
  const requests: RecordedRequest[] = [];
  const server = createServer((request, response) => {
    route(request, response, options, requests).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { message: `Scripted model: ${String(error)}`, type: 'invalid_request' } }));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    requests,
    workRequests: () => requests.filter((one) => !one.isTitle),
    close: () => close(server),
  };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function route(
  request: IncomingMessage,
  response: ServerResponse,
  options: ScriptedModelOptions,
  requests: RecordedRequest[],
): Promise<void> {
  const path = new URL(request.url ?? '/', 'http://model').pathname;
  if (request.method === 'GET' && path === '/v1/models') return sendModels(response, options);
  if (request.method !== 'POST' || path !== '/v1/chat/completions') {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { message: `No ${request.method} ${path} here.`, type: 'invalid_request' } }));
    return;
  }
  const body = completionRequest.parse(JSON.parse(await readAll(request)));
  const { step, scenario, number } = choose(body, options, requests);
  const record = recordOf(request, body, scenario, number);
  requests.push(record);
  response.on('finish', () => (record.finished = true));
  response.on('close', () => (record.aborted = !record.finished));
  await answer(response, step, {
    writer: { id: `c${requests.length}`, model: body.model, usage: { ...defaultUsage, ...options.usage } },
    stream: body.stream === true,
    chunkDelayMs: options.chunkDelayMs ?? 0,
    wait: options.wait ?? ((milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))),
  });
}

interface Choice {
  readonly step: Step;
  readonly scenario: string | null;
  readonly number: number;
}

function choose(body: CompletionRequest, options: ScriptedModelOptions, requests: readonly RecordedRequest[]): Choice {
  if (isTitleRequest(body)) return { step: { text: 'Scripted title' }, scenario: null, number: 0 };
  return (
    choosePlay(body, options) ??
    chooseScenario(body, options, requests) ?? { step: { text: 'Done.' }, scenario: null, number: 0 }
  );
}

const isContinuation = (text: string, options: ScriptedModelOptions): boolean =>
  (options.continuation ?? continuationDefault).test(text);

function choosePlay(body: CompletionRequest, options: ScriptedModelOptions): Choice | undefined {
  const playFor = (text: string) =>
    isContinuation(text, options) ? undefined : (options.plays ?? []).find((play) => play.match.test(text));
  const conversation = conversationSince(body.messages, (text) => playFor(text) !== undefined);
  const play = conversation && playFor(conversation.prompt);
  const chosen = play?.steps[Math.min(conversation?.step ?? 0, play.steps.length - 1)];
  if (conversation === undefined || play === undefined || chosen === undefined) return undefined;
  const step = typeof chosen === 'function' ? chosen(conversation) : chosen;
  return { step, scenario: String(play.match), number: conversation.step };
}

function chooseScenario(
  body: CompletionRequest,
  options: ScriptedModelOptions,
  requests: readonly RecordedRequest[],
): Choice | undefined {
  const conversation = conversationSince(
    body.messages,
    (text) => !isContinuation(text, options) && scenarioIn(text) !== undefined,
  );
  const scenario = conversation && scenarioIn(conversation.prompt);
  if (conversation === undefined || scenario === undefined) return undefined;
  const earlierCalls = requests.filter((one) => !one.isTitle && one.userTexts.includes(conversation.prompt)).length;
  const step = scenarios[scenario.name]?.(scenario.argument, conversation, earlierCalls);
  if (step === undefined) throw new Error(`no scenario is called ${scenario.name}`);
  return { step, scenario: scenario.name, number: conversation.step };
}

function recordOf(
  request: IncomingMessage,
  body: CompletionRequest,
  scenario: string | null,
  step: number,
): RecordedRequest {
  const streamOptions = body['stream_options'] as { include_usage?: unknown } | undefined;
  return {
    model: body.model,
    authorization: request.headers.authorization ?? null,
    headers: Object.fromEntries(
      Object.entries(request.headers).flatMap(([name, value]) =>
        name.startsWith('x-') ? [[name, String(value)]] : [],
      ),
    ),
    tools: (body.tools ?? []).map((tool) => tool.function.name),
    systemText: systemText(body.messages),
    userTexts: userTexts(body.messages),
    messageCount: body.messages.length,
    stream: body.stream === true,
    includesUsage: streamOptions?.include_usage === true,
    isTitle: isTitleRequest(body),
    scenario,
    step,
    aborted: false,
    finished: false,
  };
}

function sendModels(response: ServerResponse, options: ScriptedModelOptions): void {
  const models = options.models ?? ['scripted/model'];
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(
    JSON.stringify({
      object: 'list',
      data: models.map((id) => ({ id, object: 'model', created: 0, owned_by: 'scripted' })),
    }),
  );
}

async function readAll(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}
