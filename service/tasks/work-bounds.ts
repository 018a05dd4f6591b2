import { profiles, type Profile } from '../../modules/contract.ts';
import type { Registry } from '../agents/registry.ts';
import { upTo, type Breach, type WorkspaceBounds } from '../coder/template-bounds.ts';
import { ServiceError } from '../platform/errors.ts';

/** What is allowed to a task. */
export interface WorkLimits {
  /** Taken where a task names no model. */
  readonly defaultModel: string;
  /** Null allows any. */
  readonly allowedModels: readonly string[] | null;
  readonly maxProfile: Profile;
  /** Taken where a task names no profile; without it `ask`, or what the maximum leaves of it. */
  readonly defaultProfile?: Profile;
  /** A choice in the workspace's build that its template forbids: nothing may run there. */
  readonly breach?: Breach | null;
  /** Agents that may not work there. */
  readonly agentsOff?: readonly string[];
}

/** What an admin of the service allows; submissions beyond it are refused. */
export interface WorkBounds extends WorkLimits {
  readonly registry: Registry;
}

const rank = (profile: Profile): number => profiles.indexOf(profile);
const lower = (one: Profile, other: Profile): Profile => (rank(one) < rank(other) ? one : other);

/**
 * What is allowed in one workspace: what the service and the workspace's template both allow.
 *
 * Defaults are the owner's choices in the form, where both allow those; else the template's first model.
 */
export function narrow<Limits extends WorkLimits>(service: Limits, workspace: WorkspaceBounds): Limits {
  const { models } = workspace;
  const allowedModels =
    models.length === 0
      ? service.allowedModels
      : models.filter((model) => service.allowedModels?.includes(model) ?? true);
  const maxProfile = lower(service.maxProfile, workspace.maxProfile);
  const isOffered = (model: string): boolean => allowedModels?.includes(model) ?? true;
  const ownersModel = workspace.model !== null && isOffered(workspace.model) ? workspace.model : null;
  const templates = models.length === 0 ? service.defaultModel : (allowedModels?.[0] ?? service.defaultModel);
  return {
    ...service,
    allowedModels,
    maxProfile,
    defaultModel: ownersModel ?? templates,
    defaultProfile: workspace.profile === null ? lower('ask', maxProfile) : lower(workspace.profile, maxProfile),
    breach: workspace.breach,
    agentsOff: workspace.agentsOff ?? [],
  };
}

/** The model and profile a task gets. Throws `unprocessable` naming what would be allowed. */
export function choose(
  limits: WorkLimits,
  asked: { readonly model?: string | undefined; readonly profile?: Profile | undefined },
): { readonly model: string; readonly profile: Profile } {
  const chosen = {
    model: asked.model ?? limits.defaultModel,
    profile: asked.profile ?? limits.defaultProfile ?? lower('ask', limits.maxProfile),
  };
  const refusal = refusalOf(limits, chosen);
  if (refusal) throw refusal;
  return chosen;
}

/** Why this may not run within these limits; null when it may. */
export function refusalOf(
  { breach, allowedModels, maxProfile }: WorkLimits,
  { model, profile }: { readonly model: string; readonly profile: Profile },
): ServiceError | null {
  if (breach) return outOfBounds(breach);
  if (allowedModels && !allowedModels.includes(model)) return notAllowed('model', model, allowedModels);
  if (rank(profile) > rank(maxProfile)) return notAllowed('profile', profile, upTo(maxProfile));
  return null;
}

const notAllowed = (what: string, value: string, allowed: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    `${what}_not_allowed`,
    allowed.length === 0
      ? `The ${what} '${value}' is not allowed here: the template and the service allow no ${what} in common. Ask a template admin.`
      : `The ${what} '${value}' is not allowed here. Allowed: ${allowed.join(', ')}.`,
  );

const outOfBounds = ({ parameter, value, allowed }: Breach): ServiceError =>
  new ServiceError(
    'unprocessable',
    'workspace_out_of_bounds',
    `This workspace was built with ${parameter} '${value.slice(0, 200)}', which its template does not allow, so no task runs in it. Allowed: ${allowed}. Build it again with that.`,
    { errors: [{ path: parameter, message: `allowed: ${allowed}` }] },
  );
