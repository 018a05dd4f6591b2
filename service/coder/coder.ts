import type { AuthChecks, CoderClient, User, Workspace } from 'coder-sdk-ts';
import { isUuid } from '../platform/clock.ts';
import { ServiceError, notFound } from '../platform/errors.ts';
import { makeCaller, type Caller, type CallerOptions, type Who } from './caller.ts';
import type { CallContext } from './coder-call.ts';
import { scopeMissing } from './translate.ts';
import { decideStart, toWorkspace, type CoderWorkspace } from './workspace.ts';

export type { CallContext, CoderCall } from './coder-call.ts';
export type { CoderWorkspace, CoderWorkspaceAgent } from './workspace.ts';

export interface CoderUser {
  readonly id: string;
  readonly username: string;
  /** The full name; empty where none was given. */
  readonly name: string;
  /** Empty where Coder keeps it to itself. */
  readonly email: string;
  readonly organizationIds: readonly string[];
}

/** What the rest of the service may ask of Coder. All of it throws `ServiceError`, `unavailable` when Coder is away. */
export interface Coder {
  /** Whose token this is. Throws `unauthenticated`, or `forbidden` (`scope_missing`) for a token without `user:read`. */
  whoIs(token: string, context: CallContext): Promise<CoderUser>;
  /** By UUID, `owner/name` or the caller's own `name`. Throws `not_found`, for foreign ones too. */
  findWorkspace(token: string, reference: string, context: CallContext): Promise<CoderWorkspace>;
  listOwnWorkspaces(token: string, context: CallContext): Promise<readonly CoderWorkspace[]>;
  /**
   * What the caller may do to a workspace, by Coder's action names (`read`, `ssh`, `start`, …), roles and
   * scopes applied. An unknown workspace or action answers false; a deleted workspace still answers true.
   */
  may(
    token: string,
    workspaceId: string,
    actions: readonly string[],
    context: CallContext,
  ): Promise<Readonly<Record<string, boolean>>>;
  /** Whether the caller may update templates of the organization: its template admins and above. */
  mayUpdateTemplates(token: string, organizationId: string, context: CallContext): Promise<boolean>;
  /** Whether the caller may change the organization itself: its admins. */
  mayAdministerOrganization(token: string, organizationId: string, context: CallContext): Promise<boolean>;
  /** What the admin set for a version, by name, with the service's own token; sensitive values are redacted. */
  templateVariables(versionId: string, context: CallContext): Promise<ReadonlyMap<string, string>>;
  /** What the owner chose for a build, by name, with the service's own token. */
  buildParameters(buildId: string, context: CallContext): Promise<ReadonlyMap<string, string>>;
  /** With the service's own token, for work that outlives its owner's request; null when not visible to us. */
  readUser(userId: string, context: CallContext): Promise<(CoderUser & { readonly isActive: boolean }) | null>;
  /** With the service's own token; null when it does not exist any more or is not visible to us. */
  readWorkspace(workspaceId: string, context: CallContext): Promise<CoderWorkspace | null>;
  /**
   * Makes sure that a workspace runs, with the service's own token: looks first, starts only a stopped one.
   * `starting` means ask again: each time the build is followed, to the status in which its job ends. `refused` is a
   * sentence for the person, with Coder's own words where a build failed. `onStarted` is told the id of a build it made.
   */
  ensureRunning(
    workspaceId: string,
    context: CallContext,
    onStarted?: OnStarted,
  ): Promise<'running' | 'starting' | { readonly refused: string }>;
}

type OnStarted = (buildId: string) => Promise<void>;

export type CoderOptions = CallerOptions;

/** Coder's rule for user and workspace names. What breaks it cannot exist, and `..` must not reach a URL. */
const namePattern = /^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/;
/** `authcheck` refuses more objects than this with an id in one request. */
const checksPerRequest = 10;

export function makeCoder(options: CoderOptions): Coder {
  const caller = makeCaller(options);
  return {
    whoIs: (token, context) => whoIs(caller, token, context),
    findWorkspace: (token, reference, context) => findWorkspace(caller, token, reference, context),
    async listOwnWorkspaces(token, context) {
      const found = await caller.read({ token }, context, (client) => client.listWorkspaces('owner:me'));
      return found.map(toWorkspace);
    },
    may: (token, workspaceId, actions, context) => may(caller, token, workspaceId, actions, context),
    mayUpdateTemplates: (token, organizationId, context) =>
      mayUpdate(caller, token, { resource_type: 'template', organization_id: organizationId }, context),
    mayAdministerOrganization: (token, organizationId, context) =>
      mayUpdate(caller, token, { resource_type: 'organization', organization_id: organizationId }, context),
    templateVariables: (versionId, context) =>
      named(() => caller.read('service', context, (client) => client.templateVersionVariables(versionId))),
    buildParameters: (buildId, context) =>
      named(() => caller.read('service', context, (client) => client.getBuildParameters(buildId))),
    readUser: (userId, context) => readUser(caller, userId, context),
    readWorkspace: (workspaceId, context) => readWorkspace(caller, workspaceId, context),
    ensureRunning: (workspaceId, context, onStarted) => ensureRunning(caller, workspaceId, context, onStarted),
  };
}

async function whoIs(caller: Caller, token: string, context: CallContext): Promise<CoderUser> {
  try {
    return toUser(await caller.read({ token }, context, (client) => client.me()));
  } catch (error) {
    if (error instanceof ServiceError && error.kind === 'not_found') throw scopeMissing(error, 'user:read');
    throw error;
  }
}

const toUser = (user: User): CoderUser => ({
  id: user.id,
  username: user.username,
  name: user.name ?? '',
  email: user.email ?? '',
  organizationIds: user.organization_ids ?? [],
});

/** Who has not signed in for long is `dormant` in Coder and comes back by signing in: not suspended. */
async function readUser(
  caller: Caller,
  userId: string,
  context: CallContext,
): Promise<(CoderUser & { readonly isActive: boolean }) | null> {
  try {
    const user = await caller.read('service', context, (client) => client.getUser(userId));
    return { ...toUser(user), isActive: user.status !== 'suspended' };
  } catch (error) {
    if (error instanceof ServiceError && error.kind === 'not_found') return null;
    throw error;
  }
}

async function findWorkspace(
  caller: Caller,
  token: string,
  reference: string,
  context: CallContext,
): Promise<CoderWorkspace> {
  const ask = askFor(reference);
  const found = ask && (await workspaceOrNull(caller, { token }, context, ask));
  if (!found) throw notFound(`Workspace '${reference}'`);
  return found;
}

type Ask = (client: CoderClient) => Promise<Workspace>;

function askFor(reference: string): Ask | null {
  if (isUuid(reference)) return (client) => client.getWorkspace(reference);
  const parts = reference.split('/');
  if (!parts.every((part) => namePattern.test(part))) return null;
  const [first, second, ...rest] = parts;
  if (first === undefined || rest.length > 0) return null;
  return second === undefined
    ? (client) => client.getWorkspaceByName('me', first)
    : (client) => client.getWorkspaceByName(first, second);
}

async function workspaceOrNull(
  caller: Caller,
  who: Who,
  context: CallContext,
  ask: Ask,
): Promise<CoderWorkspace | null> {
  try {
    return toWorkspace(await caller.read(who, context, ask));
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    if (error.kind === 'not_found') return null;
    // Coder says 403 here only to a token that may read workspaces but not templates.
    if (error.code === 'coder_forbidden') throw scopeMissing(error, 'template:read');
    throw error;
  }
}

async function may(
  caller: Caller,
  token: string,
  workspaceId: string,
  actions: readonly string[],
  context: CallContext,
): Promise<Readonly<Record<string, boolean>>> {
  const answers: Record<string, boolean> = Object.fromEntries(actions.map((action) => [action, false]));
  if (!isUuid(workspaceId)) return answers;
  for (let from = 0; from < actions.length; from += checksPerRequest) {
    const some = actions.slice(from, from + checksPerRequest);
    const checks: AuthChecks = Object.fromEntries(
      some.map((action) => [action, { object: { resource_type: 'workspace', resource_id: workspaceId }, action }]),
    );
    const given = await caller.read({ token }, context, (client) => client.authCheck(checks));
    for (const action of some) answers[action] = given[action] === true;
  }
  return answers;
}

async function mayUpdate(
  caller: Caller,
  token: string,
  object: AuthChecks[string]['object'],
  context: CallContext,
): Promise<boolean> {
  const given = await caller.read({ token }, context, (client) =>
    client.authCheck({ update: { object, action: 'update' } }),
  );
  return given['update'] === true;
}

async function named(
  ask: () => Promise<readonly { readonly name: string; readonly value: string }[]>,
): Promise<ReadonlyMap<string, string>> {
  try {
    return new Map((await ask()).map(({ name, value }) => [name, value]));
  } catch (error) {
    // Whoever uses the workspace sees it: that we do not is for our operator to mend.
    if (error instanceof ServiceError && error.kind === 'not_found') throw boundsHidden(error);
    throw error;
  }
}

const boundsHidden = (cause: ServiceError): ServiceError =>
  new ServiceError(
    'unavailable',
    'template_bounds_hidden',
    "The service's own token may not read this workspace's template, so what it allows is unknown. Whoever runs the service must give the token organization-admin.",
    { cause },
  );

async function readWorkspace(
  caller: Caller,
  workspaceId: string,
  context: CallContext,
): Promise<CoderWorkspace | null> {
  if (!isUuid(workspaceId)) return null;
  return workspaceOrNull(caller, 'service', context, (client) => client.getWorkspace(workspaceId));
}

const gone = { refused: 'This workspace does not exist any more, or the service may not see it. Choose another one.' };

async function ensureRunning(
  caller: Caller,
  workspaceId: string,
  context: CallContext,
  onStarted?: OnStarted,
): Promise<'running' | 'starting' | { readonly refused: string }> {
  const workspace = await readWorkspace(caller, workspaceId, context);
  if (workspace === null) return gone;
  const decision = decideStart(workspace);
  if (decision === 'running') return decision;
  if (decision !== 'start') return followBuild(caller, workspace, context);
  try {
    const build = await caller.change('service', context, (client) =>
      client.createBuild(workspaceId, { transition: 'start' }),
    );
    await onStarted?.(build.id);
    return 'starting';
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    if (error.kind === 'conflict') return afterConflict(caller, workspaceId, context);
    if (error.code === 'service_token_refused') return mayNotStart(workspace.name);
    if (error.kind === 'not_found') return gone;
    throw error;
  }
}

/** What has become of the workspace's build, by its own id: its job's end and error stand nowhere else in full. */
async function followBuild(
  caller: Caller,
  { name, buildId }: CoderWorkspace,
  context: CallContext,
): Promise<'running' | 'starting' | { readonly refused: string }> {
  try {
    const { status, transition, job } = await caller.read('service', context, (client) => client.getBuild(buildId));
    const decision = decideStart({ name, status, transition, error: job.error });
    // A stop that ended since we looked: the next look starts the workspace.
    return decision === 'start' ? 'starting' : decision;
  } catch (error) {
    if (error instanceof ServiceError && error.kind === 'not_found') return gone;
    throw error;
  }
}

/** Somebody else's build was faster: what it does decides, and nothing is started by us. */
async function afterConflict(
  caller: Caller,
  workspaceId: string,
  context: CallContext,
): Promise<'running' | 'starting' | { readonly refused: string }> {
  const workspace = await readWorkspace(caller, workspaceId, context);
  if (workspace === null) return gone;
  const decision = decideStart(workspace);
  return decision === 'start' ? 'starting' : decision;
}

const mayNotStart = (name: string): { readonly refused: string } => ({
  refused: `Workspace ${name} is stopped and the service may not start it. Start it in Coder, or give the service's token organization-admin.`,
});
