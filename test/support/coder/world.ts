import { randomBytes, randomUUID } from 'node:crypto';
import { emptyForm, type SimulatedForm } from './form.ts';
import type { TokenScope } from './rights.ts';
import { instant, isActive, phaseOf, type BuildTiming } from './timeline.ts';

/** Roles a user may hold here. The site roles come first, then those of the organization. */
export type Role =
  | 'member'
  | 'owner'
  | 'template-admin'
  | 'user-admin'
  | 'auditor'
  | 'organization-admin'
  | 'organization-template-admin';

export interface SimulatedUser {
  readonly id: string;
  readonly username: string;
  readonly name: string;
  readonly email: string;
  readonly roles: readonly Role[];
  readonly createdAt: number;
  suspended: boolean;
}

/** A key as Coder keeps it: `<10 characters>-<22 characters>`. */
export interface SimulatedToken {
  readonly key: string;
  readonly userId: string;
  /** How tests call it: `alice`, or `alice:rec-scoped`. */
  readonly name: string;
  readonly tokenName: string;
  readonly scopes: readonly TokenScope[];
  readonly allowList: readonly string[];
  readonly expiresAt: number;
}

export interface SimulatedFile {
  readonly id: string;
  readonly ownerId: string;
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface SimulatedVersion {
  readonly id: string;
  readonly jobId: string;
  readonly name: string;
  readonly message: string;
  readonly readme: string;
  readonly fileId: string;
  readonly creatorId: string;
  readonly createdAt: number;
  readonly timing: BuildTiming;
  readonly ends: JobEnd;
  /** The variables it was pushed with. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Its parameters and presets. */
  readonly form?: SimulatedForm;
  templateId: string | null;
}

/** How a job ends once its time has come. */
export interface JobEnd {
  readonly status: 'succeeded' | 'failed' | 'canceled' | 'canceling';
  /** True when somebody canceled it, however it ended. */
  readonly wasCanceled?: boolean;
  readonly error?: string;
  readonly errorCode?: string;
}

export interface SimulatedTemplate {
  readonly id: string;
  readonly creatorId: string;
  readonly createdAt: number;
  name: string;
  displayName: string;
  description: string;
  icon: string;
  activeVersionId: string;
  allowUserCancel: boolean;
}

export interface SimulatedWorkspace {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly templateId: string;
  readonly createdAt: number;
  /** When a person last used it. @default its creation */
  lastUsedAt?: number;
  ttlMs: number | null;
  /** User ids who were given access: `use` or `admin`. */
  readonly shared: Map<string, 'use' | 'admin'>;
  /** Oldest first; the last one decides the status. */
  readonly builds: SimulatedBuild[];
}

export interface SimulatedBuild {
  readonly id: string;
  readonly jobId: string;
  readonly number: number;
  readonly transition: Transition;
  readonly versionId: string;
  readonly initiatorId: string;
  readonly reason: string;
  readonly createdAt: number;
  readonly timing: BuildTiming;
  readonly ends: JobEnd;
  /** The workspace agent this build makes; stop and delete make none. */
  readonly agent: { readonly id: string; readonly token: string; readonly resourceId: string } | null;
  /** When the workspace agent went away without a build; null while it is there. */
  agentLostAt: number | null;
  readonly onSuccess: Transition | null;
  /** What the owner chose. */
  readonly parameters: Readonly<Record<string, string>>;
}

export type Transition = 'start' | 'stop' | 'delete';

/** The state of one simulated deployment. Time is asked for, never waited for. */
export interface World {
  readonly organization: { readonly id: string; readonly name: string; readonly createdAt: number };
  readonly users: Map<string, SimulatedUser>;
  readonly tokens: Map<string, SimulatedToken>;
  readonly files: Map<string, SimulatedFile>;
  readonly versions: Map<string, SimulatedVersion>;
  readonly templates: Map<string, SimulatedTemplate>;
  readonly workspaces: Map<string, SimulatedWorkspace>;
  readonly url: () => string;
  readonly now: () => number;
  timing: BuildTiming;
  /** How every import ends, whatever its archive holds; null: as the archive says. */
  importEnds: JobEnd | null;
  /** The form of every version that is imported from now on; no Terraform reads it from the archive. */
  form: SimulatedForm;
}

export function emptyWorld(options: {
  url: () => string;
  now: () => number;
  timing?: BuildTiming;
  organizationId?: string;
}): World {
  return {
    organization: { id: options.organizationId ?? randomUUID(), name: 'coder', createdAt: options.now() },
    users: new Map(),
    tokens: new Map(),
    files: new Map(),
    versions: new Map(),
    templates: new Map(),
    workspaces: new Map(),
    url: options.url,
    now: options.now,
    timing: options.timing ?? instant,
    importEnds: null,
    form: emptyForm,
  };
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const letters = (count: number): string =>
  [...randomBytes(count)].map((byte) => alphabet[byte % alphabet.length]).join('');

export const mintKey = (): string => `${letters(10)}-${letters(22)}`;

export const newAgent = (): NonNullable<SimulatedBuild['agent']> => ({
  id: randomUUID(),
  token: randomUUID(),
  resourceId: randomUUID(),
});

export interface NewBuild {
  readonly transition: Transition;
  readonly initiatorId: string;
  readonly versionId?: string;
  readonly reason?: string;
  readonly timing?: BuildTiming;
  readonly ends?: JobEnd;
  readonly onSuccess?: Transition | null;
  readonly id?: string;
  readonly createdAt?: number;
  /** Laid over those of the build before. */
  readonly parameters?: Readonly<Record<string, string>>;
}

/** Appends a build; every start makes a new agent with a new token, even of a running workspace. */
export function addBuild(world: World, workspace: SimulatedWorkspace, build: NewBuild): SimulatedBuild {
  const template = world.templates.get(workspace.templateId);
  const added: SimulatedBuild = {
    id: build.id ?? randomUUID(),
    jobId: randomUUID(),
    number: workspace.builds.length + 1,
    transition: build.transition,
    versionId: build.versionId ?? workspace.builds.at(-1)?.versionId ?? template?.activeVersionId ?? randomUUID(),
    initiatorId: build.initiatorId,
    reason: build.reason ?? 'initiator',
    createdAt: build.createdAt ?? world.now(),
    timing: build.timing ?? world.timing,
    ends: build.ends ?? { status: 'succeeded' },
    agent: build.transition === 'start' ? newAgent() : null,
    agentLostAt: null,
    onSuccess: build.onSuccess ?? null,
    parameters: { ...workspace.builds.at(-1)?.parameters, ...build.parameters },
  };
  workspace.builds.push(added);
  return added;
}

/** The build that decides the status; a build that was to follow a succeeded one has begun by now. */
export function latestBuild(world: World, workspace: SimulatedWorkspace): SimulatedBuild {
  const latest = workspace.builds.at(-1);
  if (!latest) throw new Error(`Workspace ${workspace.name} has no build.`);
  const phase = phaseOf(latest, world.now());
  if (latest.onSuccess === null || phase.job !== 'succeeded') return latest;
  const { initiatorId, onSuccess } = latest;
  return addBuild(world, workspace, {
    transition: onSuccess,
    initiatorId,
    createdAt: phase.completedAt ?? world.now(),
  });
}

export const isBuilding = (world: World, workspace: SimulatedWorkspace): boolean =>
  isActive(phaseOf(latestBuild(world, workspace), world.now()));

export const isDeleted = (world: World, workspace: SimulatedWorkspace): boolean => {
  const latest = latestBuild(world, workspace);
  return latest.transition === 'delete' && phaseOf(latest, world.now()).job === 'succeeded';
};
