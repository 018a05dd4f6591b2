import { isAbsolute, relative, resolve } from 'node:path';
import { bridgeEnvironment, paths, ports } from '../../contract.ts';

export interface BridgeSettings {
  readonly url: string;
  readonly proof: string;
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly workspaceAgentId: string;
  readonly harnessKey: string;
  /** 1–4. */
  readonly slots: number;
  readonly workspaceDir: string;
  /** Where repositories lie: the workspace, or a folder in it. */
  readonly gitRoot: string;
  /** Null: the only repository directly below `gitRoot`. */
  readonly repositoryDir: string | null;
  /** The part of the repository that tasks work in; empty: all of it. */
  readonly subpath: string;
  readonly agentDir: string;
  readonly toolsDir: string;
  /** Where the worker keeps Nix's store; null where the image has no Nix. */
  readonly nixDir: string | null;
  /** Shared with the worker, which reads `status.json` there. */
  readonly runDir: string;
  /** Whether the first work waits for the worker to have started. */
  readonly awaitsWorker: boolean;
  /** Loopback port of the relay; 0 picks a free one. */
  readonly relayPort: number;
  /** Model calls after which an attempt is ended. */
  readonly callLimit: number;
  /** What tools and verify commands may inherit: the image's own variables, nothing of ours. */
  readonly inherited: Readonly<Record<string, string>>;
}

export class SettingsError extends Error {}

/** A turn of real work takes tens of calls, rarely hundreds; a loop reaches 250 in a minute. */
const callLimitDefault = 1_000;

/**
 * Ours, Coder's and the harness's own switches never reach a tool, nor do the runtime's, nor, where the bridge is a
 * process of the worker, the ways in which Coder's agent lends the person's git credentials and keys. Tokens and keys
 * that somebody set in an image or a container are not for the agent either: they belong to the gateway and the broker.
 */
const withheld =
  /^(OUTRIGGER_|CODER_|OPENCODE|BUN_|NODE_OPTIONS$|XDG_|HOME$|TMPDIR$|GIT_ASKPASS$|GIT_SSH|SSH_|VSCODE_|GIT_USERNAME$|([A-Z0-9_]+_)?(API_KEY|TOKEN|SECRET|SECRET_ACCESS_KEY|PASSWORD)$)/;

/**
 * Reads the bridge's environment and removes what is secret in it, so that no child can inherit it.
 *
 * Errors   one `SettingsError` that names every missing or bad variable, never a value.
 */
export function takeSettings(environment: Record<string, string | undefined>): BridgeSettings {
  const problems: string[] = [];
  const required = (name: string): string => {
    const value = environment[name]?.trim() ?? '';
    if (value === '') problems.push(`${name} is not set`);
    return value;
  };
  const whole = (name: string, fallback: number, min: number, max: number): number => {
    const text = environment[name]?.trim() ?? '';
    const value = text === '' ? fallback : Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    problems.push(`${name} must be a whole number from ${min} to ${max}`);
    return fallback;
  };
  const flag = (name: string): boolean => {
    const text = environment[name]?.trim() ?? '';
    if (!['', 'true', 'false'].includes(text)) problems.push(`${name} must be true or false`);
    return text === 'true';
  };
  const optional = (name: string): string | null => environment[name]?.trim() || null;
  const workspaceDir = optional(bridgeEnvironment.workspaceDir) ?? paths.workspace;
  const inWorkspace = (name: string): string | null => {
    const folder = optional(name);
    if (folder === null) return null;
    const found = resolve(folder);
    if (!isBelow(found, workspaceDir)) problems.push(`${name} must be ${workspaceDir} or a folder in it`);
    return found;
  };
  const subpath = optional(bridgeEnvironment.subpath)?.replace(/\/+$/, '') ?? '';
  if (isAbsolute(subpath) || /(^|\/)\.\.?(\/|$)/.test(subpath))
    problems.push(`${bridgeEnvironment.subpath} must be a folder of the repository, such as packages/api`);
  const url = required(bridgeEnvironment.url);
  if (url !== '' && !isHttpUrl(url)) problems.push(`${bridgeEnvironment.url} must be an http or https address`);

  const settings: BridgeSettings = {
    url: url.replace(/\/+$/, ''),
    proof: required(bridgeEnvironment.proof),
    workspaceId: required(bridgeEnvironment.workspaceId),
    ownerId: optional(bridgeEnvironment.ownerId) ?? '',
    workspaceAgentId: required(bridgeEnvironment.workspaceAgentId),
    harnessKey: required(bridgeEnvironment.harnessKey),
    slots: whole(bridgeEnvironment.slots, 1, 1, 4),
    workspaceDir,
    gitRoot: inWorkspace(bridgeEnvironment.gitRoot) ?? workspaceDir,
    repositoryDir: optional(bridgeEnvironment.repositoryDir) ?? inWorkspace(bridgeEnvironment.gitWorkspaceDir),
    subpath,
    agentDir: optional(bridgeEnvironment.agentDir) ?? paths.agent,
    toolsDir: optional(bridgeEnvironment.toolsDir) ?? paths.tools,
    nixDir: optional(bridgeEnvironment.nixDir),
    runDir: optional(bridgeEnvironment.runDir) ?? paths.run,
    awaitsWorker: flag(bridgeEnvironment.awaitWorker),
    relayPort: whole(bridgeEnvironment.port, ports.bridge, 0, 65_535),
    callLimit: whole(bridgeEnvironment.callLimit, callLimitDefault, 1, 1_000_000),
    inherited: inheritable(environment),
  };
  for (const name of Object.keys(environment)) if (withheld.test(name)) delete environment[name];
  if (problems.length > 0) throw new SettingsError(`The bridge cannot start: ${problems.join('; ')}.`);
  return settings;
}

const isBelow = (path: string, folder: string): boolean => !/^\.\.(\/|$)/.test(relative(folder, path));

function inheritable(environment: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !withheld.test(entry[0]),
    ),
  );
}

function isHttpUrl(text: string): boolean {
  try {
    return ['http:', 'https:'].includes(new URL(text).protocol);
  } catch {
    return false;
  }
}
