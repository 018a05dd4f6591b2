import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { processClock } from '../../scripts/template-context.ts';
import type { Rendering } from '../../scripts/template-push.ts';
import { runUp, type Joined, type UpAround, type UpFlags } from '../../scripts/up/run-up.ts';
import { thisMachine } from '../../scripts/up/address.ts';
import type { SimulatedCoder } from '../support/coder/simulated-coder.ts';

/** What a provisioner is told of one start. */
export interface Start {
  readonly workspaceId: string;
  readonly workspaceName: string;
  readonly ownerId: string;
  readonly ownerName: string;
  readonly agentId: string;
  readonly agentToken: string;
  /** The variables of the version it is built from, the secret too. */
  readonly variables: Readonly<Record<string, string>>;
  readonly choices: Readonly<Record<string, string>>;
}

/** The simulated Coder with something that really starts workspaces. */
export interface BuildingCoder {
  readonly url: string;
  /** Starts that were asked for, oldest first. */
  readonly starts: readonly Start[];
  /** Waits for everything that was started; rejects with what went wrong. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

export async function startBuildingCoder(
  coder: SimulatedCoder,
  provision: (start: Start) => Promise<void>,
  version?: string,
): Promise<BuildingCoder> {
  const starts: Start[] = [];
  const running: Promise<void>[] = [];
  const started = (workspaceId: string): void => {
    const start = describeStart(coder, workspaceId);
    starts.push(start);
    const work = provision(start);
    work.catch(() => undefined);
    running.push(work);
  };
  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const token = String(request.headers['coder-session-token'] ?? '');
    const json = (status: number, value: unknown): void =>
      void response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    const path = request.url ?? '/';
    const asked = await fetch(coder.url + path, {
      method: request.method ?? 'GET',
      headers: { 'Coder-Session-Token': token, 'Content-Type': String(request.headers['content-type'] ?? '') },
      ...(body.length > 0 ? { body } : {}),
    });
    const text = Buffer.from(await asked.arrayBuffer());
    if (path === '/api/v2/buildinfo' && version !== undefined)
      return json(200, { ...(JSON.parse(text.toString()) as object), version });
    if (request.method === 'POST' && asked.status === 201) {
      const built = /^\/api\/v2\/workspaces\/([^/]+)\/builds$/.exec(path)?.[1];
      if (built !== undefined) started(built);
      if (/^\/api\/v2\/users\/[^/]+\/workspaces$/.test(path))
        started((JSON.parse(text.toString()) as { id: string }).id);
    }
    const type = asked.headers.get('content-type');
    response.writeHead(asked.status, type === null ? {} : { 'Content-Type': type }).end(text);
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    starts,
    settled: async () => void (await Promise.all(running)),
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function describeStart({ world }: SimulatedCoder, workspaceId: string): Start {
  const workspace = world.workspaces.get(workspaceId);
  const build = workspace?.builds.at(-1);
  if (workspace === undefined || build === undefined || build.agent === null) throw new Error('This was no start.');
  return {
    workspaceId,
    workspaceName: workspace.name,
    ownerId: workspace.ownerId,
    ownerName: world.users.get(workspace.ownerId)?.username ?? '',
    agentId: build.agent.id,
    agentToken: build.agent.token,
    variables: world.versions.get(build.versionId)?.variables ?? {},
    choices: build.parameters,
  };
}

export interface RanUp {
  readonly code: number;
  /** Null where it failed. */
  readonly joined: Joined | null;
  readonly said: string;
}

export const usualFlags: UpFlags = {
  port: '7676',
  workspace: 'first',
  repository: 'https://git.example.com/team/users',
  prompt: 'Write a file.',
};

/** A command that waits for what never comes ends with its test. */
const patienceMs = 30_000;

/** Runs the command in this process and keeps what it says. */
export async function ranUp(
  flags: Partial<UpFlags>,
  given: Pick<UpAround, 'environment'> & { readonly rendering: Rendering } & Partial<UpAround>,
): Promise<RanUp> {
  const said: string[] = [];
  const keep = (line: string): void => void said.push(line);
  const around: UpAround = {
    print: keep,
    tell: keep,
    signal: AbortSignal.timeout(patienceMs),
    files: { readFile: () => undefined, homeDir: '/nobody', uid: 1000 },
    clock: processClock,
    pollMs: 20,
    machine: thisMachine(),
    ask: undefined,
    ...given,
  };
  try {
    const joined = await runUp({ ...usualFlags, ...flags }, around);
    return { code: 0, joined, said: said.join('\n') };
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    return { code: error.exitCode, joined: null, said: [...said, error.message].join('\n') };
  }
}

/** An address of this machine that is not loopback, as workspaces would be given. */
export function beyondLoopback(): string {
  const all = Object.values(networkInterfaces()).flatMap((some) => some ?? []);
  const found = all.find(({ internal, family }) => !internal && family === 'IPv4');
  if (found === undefined) throw new Error('This machine has loopback only.');
  return found.address;
}
