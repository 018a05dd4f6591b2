import { isUuid } from './clock.ts';
import { ServiceError } from './errors.ts';

/** What can be turned off, each with what a person reads of it. A flag that nobody mentions is on. */
export const flagTable = {
  agent_agentzero: 'work of agent agentzero',
  agent_docker: 'work of agent docker',
  agent_kubernetes: 'work of agent kubernetes',
  agent_nix: 'work of agent nix',
  agent_opencode: 'work of agent opencode',
  compose: 'drafting workflows from a goal',
  definitions: 'stored workflows',
  schedules: 'schedules',
  webhooks: 'webhooks',
} as const;

export type Flag = keyof typeof flagTable;
const flagNames = Object.keys(flagTable) as Flag[];

/** Which organizations have what. */
export interface Flags {
  /** Null asks for those who name no organization: the flag's `*`. */
  isOn(flag: Flag, organizationId: string | null): boolean;
  /** On in at least one of them; null asks whether it is on anywhere. */
  isOnInAny(flag: Flag, organizationIds: readonly string[] | null): boolean;
  /** What could not be read, and so counts as off, and names that stand for nothing: to be logged once. */
  readonly faults: readonly string[];
  /** For `config print`: each flag as it is in force. */
  readonly described: Readonly<Record<Flag, string>>;
}

/** Agents that an organization may not use. */
export const agentsOff = (flags: Flags, organizationId: string): readonly string[] =>
  flagNames
    .filter((name) => name.startsWith(agentPrefix) && !flags.isOn(name, organizationId))
    .map((name) => name.slice(agentPrefix.length));

const agentPrefix = 'agent_';

interface Setting {
  readonly everywhere: boolean;
  readonly organizations: ReadonlyMap<string, boolean>;
  readonly isUnreadable?: true;
}

const on: Setting = { everywhere: true, organizations: new Map() };
const unreadable: Setting = { everywhere: false, organizations: new Map(), isUnreadable: true };

/**
 * Reads the flags, as JSON text or as what YAML made of it.
 *
 * Shape   `{"compose": false, "schedules": {"*": false, "<organization id>": true}}`. `*` is every other organization;
 *         left out it is on.
 * Safety  what cannot be read is off: one flag, or all of them where the whole cannot be. It never throws.
 */
export function readFlags(raw: unknown): Flags {
  const faults: string[] = [];
  const given = readWhole(raw, faults);
  const settingOf = new Map(
    flagNames.map((name) => [name, given === null ? unreadable : readSetting(name, given[name], faults)]),
  );
  for (const name of Object.keys(given ?? {}).filter((word) => !flagNames.includes(word as Flag)))
    faults.push(`There is no flag ${JSON.stringify(name.slice(0, 60))}. Known: ${flagNames.join(', ')}.`);

  const isOn = (flag: Flag, organizationId: string | null): boolean => {
    const { everywhere, organizations } = settingOf.get(flag) ?? unreadable;
    return (organizationId === null ? undefined : organizations.get(organizationId)) ?? everywhere;
  };
  return {
    isOn,
    isOnInAny(flag, organizationIds) {
      const { everywhere, organizations } = settingOf.get(flag) ?? unreadable;
      if (organizationIds === null) return everywhere || [...organizations.values()].includes(true);
      return organizationIds.length === 0 ? everywhere : organizationIds.some((id) => isOn(flag, id));
    },
    faults,
    described: Object.fromEntries(
      flagNames.map((name) => [name, describe(settingOf.get(name) ?? unreadable)]),
    ) as Readonly<Record<Flag, string>>,
  };
}

function readWhole(raw: unknown, faults: string[]): Readonly<Record<string, unknown>> | null {
  if (raw === undefined || raw === null) return {};
  const value = typeof raw === 'string' ? parseOrNull(raw) : raw;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  faults.push(
    'The flags cannot be read, so every one of them is off. They are a JSON object, such as {"compose": false}.',
  );
  return null;
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

function readSetting(name: Flag, value: unknown, faults: string[]): Setting {
  if (value === undefined) return on;
  if (typeof value === 'boolean') return { ...on, everywhere: value };
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const { '*': everywhere = true, ...organizations } = value as Record<string, unknown>;
    const entries = Object.entries(organizations).map(([id, one]) => [id.toLowerCase(), one] as const);
    const isReadable = entries.every(([id, one]) => isUuid(id) && typeof one === 'boolean');
    if (isReadable && typeof everywhere === 'boolean')
      return { everywhere, organizations: new Map(entries as [string, boolean][]) };
  }
  faults.push(`Flag ${name} cannot be read, so it is off. It is true, false, or {"*": …, "<organization id>": …}.`);
  return unreadable;
}

const word = (isOn: boolean): string => (isOn ? 'on' : 'off');

const describe = ({ everywhere, organizations, isUnreadable }: Setting): string =>
  isUnreadable
    ? 'off, because it cannot be read'
    : [word(everywhere), ...[...organizations].map(([id, isOn]) => `${word(isOn)} in ${id}`)].join(', ');

/** Throws `forbidden` (`feature_off`) where an organization does not have it. */
export function mustBeOn(flags: Flags, flag: Flag, organizationId: string): void {
  if (!flags.isOn(flag, organizationId)) throw featureOff(flag);
}

/** The answer to whoever asks for what is turned off. */
export const featureOff = (flag: Flag): ServiceError =>
  new ServiceError(
    'forbidden',
    'feature_off',
    `This Outrigger has ${flagTable[flag]} turned off for your organization (flag ${flag}). Ask whoever runs it to turn it on.`,
  );
