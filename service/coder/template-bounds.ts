import { digestPattern, profiles, type Profile } from '../../modules/contract.ts';
import { ServiceError } from '../platform/errors.ts';

/** What the admin of a template wrote, by name; sensitive values are not readable and stand here redacted. */
export type TemplateVariables = ReadonlyMap<string, string>;
/** What the owner of a workspace chose for a build, by name. */
export type BuildParameters = ReadonlyMap<string, string>;

/** A choice of the owner that the admin does not allow. */
export interface Breach {
  readonly parameter: string;
  readonly value: string;
  /** What would be allowed, fit to end the sentence "Allowed: …". */
  readonly allowed: string;
}

/** What the template of a workspace allows to the tasks in it, and what its owner chose within that. */
export interface WorkspaceBounds {
  /** Empty where the template leaves the choice to the service; the first is the template's default. */
  readonly models: readonly string[];
  readonly maxProfile: Profile;
  /** The owner's choice, where the form asks for one. */
  readonly model: string | null;
  readonly profile: Profile | null;
  /** Null for a build as the form would have made it. */
  readonly breach: Breach | null;
  /** Agents that the organization of the workspace may not use. */
  readonly agentsOff?: readonly string[];
}

/** Without the variable the template is not ours, and nobody said that an agent may do more. */
const profileOfOthers: Profile = 'ask';

/**
 * Reads the bounds of a workspace and holds its owner's choices against them.
 *
 * The form refuses the same, but a form is answered by whoever posts the build.
 * Errors  `unprocessable` when a variable has not the type that our templates give it.
 */
export function readBounds(variables: TemplateVariables, parameters: BuildParameters): WorkspaceBounds {
  const maxProfile = profileIn(variables, 'max_profile') ?? profileOfOthers;
  const profile = parameters.get('permission_profile') ?? null;
  return {
    models: listIn(variables, 'allowed_models') ?? [],
    maxProfile,
    model: parameters.get('model') || null,
    profile: isProfile(profile) ? profile : null,
    breach: findBreach(variables, parameters),
  };
}

type Rule = (value: string, variables: TemplateVariables, parameters: BuildParameters) => string | null;

const digest = new RegExp(`${digestPattern}$`);
/** The word in the form behind which an image of one's own is typed. */
const ownImage = 'own';

/** What the form calls an image: without tag and digest. */
const nameOf = (image: string): string => image.replace(new RegExp(`(:[^/:@]+)?${digestPattern}$`), '');

/** Answers what is allowed when the value is not; each mirrors what the form of our templates says. */
const rules: Readonly<Record<string, Rule>> = {
  executor_image: (value, variables) => {
    const offered = listIn(variables, 'executor_images');
    const own = listIn(variables, 'allowed_images') ?? [];
    const names = offered?.map(nameOf);
    if (names === undefined || offered?.includes(value)) return null;
    return among(value, own.length > 0 ? [...names, ownImage] : names);
  },
  own_image: (value, variables, parameters) => {
    if (parameters.get('executor_image') !== ownImage) return null;
    const prefixes = listIn(variables, 'allowed_images') ?? [];
    const isPinned = digest.test(value) || variables.get('allow_unpinned_images') === 'true';
    const begins = prefixes.some((prefix) => value.startsWith(prefix));
    if (begins && isPinned && /^[A-Za-z0-9._/:-]+$/.test(value.replace(digest, ''))) return null;
    return prefixes.length === 0 ? 'no image of your own' : `an image pinned by digest under ${prefixes.join(', ')}`;
  },
  permission_profile: (value, variables) => among(value, upTo(profileIn(variables, 'max_profile') ?? profileOfOthers)),
  model: (value, variables) => {
    const models = listIn(variables, 'allowed_models') ?? [];
    return value === '' || models.length === 0 ? null : among(value, models);
  },
  agent_mode: (value, variables) => {
    const modes = listIn(variables, 'agent_modes');
    return modes && among(value, modes);
  },
  cpu: atMost('max_cpu', 'cores'),
  memory: atMost('max_memory_mb', 'MB'),
  disk: atMost('max_disk_gb', 'GB'),
  agent_cpu: atMost('max_cpu', 'cores'),
  agent_memory: atMost('max_memory_mb', 'MB'),
};

function findBreach(variables: TemplateVariables, parameters: BuildParameters): Breach | null {
  for (const [parameter, rule] of Object.entries(rules)) {
    const value = parameters.get(parameter);
    const allowed = value === undefined ? null : rule(value, variables, parameters);
    if (value !== undefined && allowed !== null) return { parameter, value, allowed };
  }
  return null;
}

function atMost(variable: string, unit: string): Rule {
  return (text, variables) => {
    const bound = numberIn(variables, variable);
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (bound === null || (value > 0 && value <= bound)) return null;
    return `at most ${bound} ${unit}`;
  };
}

const among = (value: string, allowed: readonly string[]): string | null =>
  allowed.includes(value) ? null : allowed.join(', ');

const isProfile = (word: string | null | undefined): word is Profile => profiles.some((profile) => profile === word);

/** The profiles an admin allows with this maximum, the strictest first. */
export const upTo = (most: Profile): readonly Profile[] => profiles.slice(0, profiles.indexOf(most) + 1);

function profileIn(variables: TemplateVariables, name: string): Profile | null {
  const word = variables.get(name);
  if (word === undefined) return null;
  if (!isProfile(word)) throw unreadable(name, `one of ${profiles.join(', ')}`);
  return word;
}

function numberIn(variables: TemplateVariables, name: string): number | null {
  const text = variables.get(name);
  if (text === undefined) return null;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw unreadable(name, 'a number');
  return value;
}

/** A list of words: JSON, or HCL as an admin types it, whose one difference here is a comma before the bracket. */
function listIn(variables: TemplateVariables, name: string): readonly string[] | null {
  const text = variables.get(name);
  if (text === undefined) return null;
  const value = parseOrNull(text.replace(/,\s*\]\s*$/, ']'));
  if (!Array.isArray(value) || !value.every((word) => typeof word === 'string')) throw unreadable(name, 'a list');
  return value;
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A bound that cannot be read is not taken for one that is not there. */
const unreadable = (variable: string, wanted: string): ServiceError =>
  new ServiceError(
    'unprocessable',
    'template_bounds_unreadable',
    `The variable ${variable} of this workspace's template is not ${wanted}, so what it allows is unknown. Ask a template admin to push the template again.`,
  );
