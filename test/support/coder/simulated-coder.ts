import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Answer } from './answers.ts';
import { makeHttpServer, type Fault, type RecordedCall } from './http-server.ts';
import type { TokenScope } from './rights.ts';
import { statusOf } from './search.ts';
import { finished, type BuildTiming } from './timeline.ts';
import {
  addBuild,
  emptyWorld,
  latestBuild,
  mintKey,
  type JobEnd,
  type NewBuild,
  type Role,
  type SimulatedUser,
  type SimulatedVersion,
  type Transition,
  type World,
} from './world.ts';

export type { RecordedCall } from './http-server.ts';
export { finished, instant, realistic, type BuildTiming } from './timeline.ts';
export type { Role, World } from './world.ts';

export interface SimulatedCoderOptions {
  /** @default 0: a free one, told in `url`. */
  readonly port?: number;
  /** Epoch milliseconds. @default the wall clock. */
  readonly now?: () => number;
  /** How long builds and imports take. @default `instant`: a few milliseconds a stage. */
  readonly timing?: BuildTiming;
  /** Id of the one organization. @default a random one. */
  readonly organizationId?: string;
  /** Requests a minute per user and path. @default 512, as Coder. */
  readonly requestsPerMinute?: number;
}

/** A Coder deployment in this process: one organization, no infrastructure, Coder's answers. */
export interface SimulatedCoder {
  readonly url: string;
  readonly organizationId: string;
  /** Every request so far, oldest first. */
  readonly calls: readonly RecordedCall[];
  /** How many connections were opened so far. */
  readonly connections: number;
  /** The state behind it, for tests that need a shape no route makes. */
  readonly world: World;

  /** Without `roles` a plain member. The token may do everything its user may. */
  addUser(user: {
    username: string;
    roles?: readonly Role[];
    id?: string;
    name?: string;
    email?: string;
    token?: string;
  }): {
    readonly id: string;
    readonly token: string;
  };
  /** A further token of a user, narrowed by scopes. */
  addToken(token: {
    owner: string;
    name: string;
    scopes?: readonly TokenScope[];
    allowList?: readonly string[];
    expiresAt?: number;
    key?: string;
  }): string;
  /** `agentId` and `agentToken` are those of the last start; while stopped they lead nowhere. A missing template is made. */
  addWorkspace(workspace: {
    owner: string;
    name: string;
    running: boolean;
    template?: string;
    id?: string;
    ends?: JobEnd;
    parameters?: Readonly<Record<string, string>>;
  }): { readonly id: string; readonly agentId: string; readonly agentToken: string };
  /** A build as the owner would ask for it; replaces the workspace agent and its token. */
  buildWorkspace(
    id: string,
    transition: Transition,
    options?: Pick<NewBuild, 'timing' | 'ends' | 'versionId' | 'parameters'>,
  ): { readonly buildId: string; readonly agentId: string; readonly agentToken: string };
  /** A new active version of a template with these values of the admin; the template is made where it is missing. */
  addVersion(template: string, variables: Readonly<Record<string, string>>): string;
  /** The workspace agent goes away without a build, as after a crash; the workspace still counts as running. */
  loseAgent(workspaceId: string): void;
  statusOf(workspaceId: string): string;
  suspend(username: string): void;

  /** Answers this route (`GET /api/v2/users/me`) with `status`, `times` times. */
  fail(
    route: string,
    status: number,
    options?: { times?: number; headers?: Record<string, string>; text?: string },
  ): void;
  /** Lets this route hang without an answer, until `heal`. */
  stall(route: string): void;
  /** Ends `fail` and `stall` of this route, or of all. */
  heal(route?: string): void;
  close(): Promise<void>;
}

export async function startSimulatedCoder(options: SimulatedCoderOptions = {}): Promise<SimulatedCoder> {
  let url = '';
  const world = emptyWorld({
    url: () => url,
    now: options.now ?? (() => Date.now()),
    ...(options.timing ? { timing: options.timing } : {}),
    ...(options.organizationId ? { organizationId: options.organizationId } : {}),
  });
  const faults = new Map<string, Fault>();
  const calls: RecordedCall[] = [];
  const server = makeHttpServer({ world, faults, calls, requestsPerMinute: options.requestsPerMinute ?? 512 });
  let connections = 0;
  server.on('connection', () => (connections += 1));
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    url,
    organizationId: world.organization.id,
    world,
    calls,
    get connections() {
      return connections;
    },
    ...people(world),
    ...workspaces(world),
    fail(route, status, { times = Number.POSITIVE_INFINITY, headers = {}, text } = {}) {
      const answer: Answer =
        text === undefined ? { status, body: { message: `simulated ${status}` }, headers } : { status, text, headers };
      faults.set(route, { answer, left: times });
    },
    stall: (route) => void faults.set(route, 'stall'),
    heal: (route) => void (route === undefined ? faults.clear() : faults.delete(route)),
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function userNamed(world: World, username: string): SimulatedUser {
  const user = [...world.users.values()].find((one) => one.username === username);
  if (!user) throw new Error(`There is no user ${username}. Call addUser first.`);
  return user;
}

function people(world: World): Pick<SimulatedCoder, 'addUser' | 'addToken' | 'suspend'> {
  const never = Number.POSITIVE_INFINITY;
  const addToken: SimulatedCoder['addToken'] = (token) => {
    const key = token.key ?? mintKey();
    const name = token.name === '' ? token.owner : `${token.owner}:${token.name}`;
    world.tokens.set(key, {
      key,
      userId: userNamed(world, token.owner).id,
      name,
      tokenName: token.name,
      scopes: token.scopes ?? ['coder:all'],
      allowList: token.allowList ?? ['*:*'],
      expiresAt: token.expiresAt ?? never,
    });
    return key;
  };
  return {
    addToken,
    addUser({ username, roles = [], id = randomUUID(), name = '', email = `${username}@example.test`, token }) {
      world.users.set(id, { id, username, name, email, roles, createdAt: world.now(), suspended: false });
      return { id, token: addToken({ owner: username, name: '', ...(token ? { key: token } : {}) }) };
    },
    suspend: (username) => void (userNamed(world, username).suspended = true),
  };
}

function workspaces(
  world: World,
): Pick<SimulatedCoder, 'addWorkspace' | 'buildWorkspace' | 'addVersion' | 'loseAgent' | 'statusOf'> {
  const find = (id: string) => {
    const workspace = world.workspaces.get(id);
    if (!workspace) throw new Error(`There is no workspace ${id}. Call addWorkspace first.`);
    return workspace;
  };
  const made = (id: string) => {
    const workspace = find(id);
    const agent = workspace.builds.findLast((build) => build.agent !== null)?.agent;
    return { buildId: latestBuild(world, workspace).id, agentId: agent?.id ?? '', agentToken: agent?.token ?? '' };
  };
  return {
    addWorkspace({ owner, name, running, template = 'docker', id = randomUUID(), ends, parameters = {} }) {
      const user = userNamed(world, owner);
      const workspace = {
        id,
        name,
        ownerId: user.id,
        templateId: templateNamed(world, template, user.id),
        createdAt: world.now(),
        ttlMs: null,
        shared: new Map<string, 'use' | 'admin'>(),
        builds: [],
      };
      world.workspaces.set(id, workspace);
      const common = { initiatorId: user.id, timing: finished, parameters, ...(ends ? { ends } : {}) };
      addBuild(world, workspace, { transition: 'start', ...common });
      if (!running) addBuild(world, workspace, { transition: 'stop', ...common });
      const { agentId, agentToken } = made(id);
      return { id, agentId, agentToken };
    },
    buildWorkspace(id, transition, build = {}) {
      const workspace = find(id);
      addBuild(world, workspace, { transition, initiatorId: workspace.ownerId, ...build });
      return made(id);
    },
    addVersion(name, variables) {
      const creatorId = [...world.users.keys()][0] ?? randomUUID();
      const template = world.templates.get(templateNamed(world, name, creatorId));
      if (!template) throw new Error(`There is no template ${name}.`);
      const id = makeVersion(world, template.id, { name: `v${world.versions.size + 1}`, creatorId, variables });
      template.activeVersionId = id;
      return id;
    },
    loseAgent: (workspaceId) => void (latestBuild(world, find(workspaceId)).agentLostAt = world.now()),
    statusOf: (workspaceId) => statusOf(world, find(workspaceId)),
  };
}

function templateNamed(world: World, name: string, creatorId: string): string {
  const known = [...world.templates.values()].find((template) => template.name === name);
  if (known) return known.id;
  const id = randomUUID();
  const activeVersionId = makeVersion(world, id, { name: 'v1', creatorId, variables: {} });
  const texts = { displayName: '', description: '', icon: '' };
  const common = { id, creatorId, createdAt: world.now(), name, ...texts, allowUserCancel: false };
  world.templates.set(id, { ...common, activeVersionId });
  return id;
}

function makeVersion(
  world: World,
  templateId: string,
  version: Pick<SimulatedVersion, 'name' | 'creatorId' | 'variables'>,
): string {
  const id = randomUUID();
  world.versions.set(id, {
    ...version,
    id,
    jobId: randomUUID(),
    message: '',
    readme: '',
    fileId: randomUUID(),
    createdAt: world.now(),
    timing: finished,
    ends: { status: 'succeeded' },
    templateId,
  });
  return id;
}
