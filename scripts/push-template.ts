import { setTimeout as sleep } from 'node:timers/promises';
import { CoderError, type CoderClient, type CoderErrorKind, type Template, type TemplateVersion } from 'coder-sdk-ts';
import { CommandFailure, type ExitCode } from './command-failure.ts';
import type { TemplateSecretClient } from './service-client.ts';
import type { TemplateMetadata, TemplatePackage } from './template-package.ts';
import { secretVariable, type Values } from './template-variables.ts';

export interface PushTemplate {
  readonly name: string;
  readonly package: TemplatePackage;
  /** Every variable but the secret. */
  readonly values: Values;
  readonly organization: { readonly id: string; readonly name: string };
  /** Undefined: Coder makes one up. */
  readonly versionName: string | undefined;
  readonly message: string | undefined;
  readonly coder: CoderClient;
  readonly secrets: TemplateSecretClient;
  /** Where progress goes, line by line. */
  readonly tell: (line: string) => void;
  /** Its reason is what the push then ends with. */
  readonly signal: AbortSignal;
  /** For the import job, queue included. */
  readonly timeoutMs: number;
  readonly pollMs: number;
}

export interface PushedTemplate {
  readonly template: string;
  readonly template_id: string;
  readonly organization: string;
  readonly version: string;
  readonly version_id: string;
  /** False when there was a template of that name. */
  readonly created: boolean;
  /** Names the secret of this version; says nothing about it. */
  readonly kid: string;
}

/**
 * Makes a new version of a template with a secret of its own, and makes it the active one.
 *
 * Order    secret minted → archive sent → imported → version told to the service → active. What fails before the
 *          end changes nothing for workspaces: the version before stays active, and the new secret is retired.
 * Errors   `CommandFailure` with one sentence for people; the secret is in none, nor in any line of progress.
 */
export async function pushTemplate(push: PushTemplate): Promise<PushedTemplate> {
  const { name, coder, secrets, organization } = push;
  const before = await findTemplate(push).catch(fail);
  const { kid, secret } = await secrets.mint(name, organization.id);
  const hide = (text: string): string => text.replaceAll(secret, '[secret]').replaceAll(secret.slice(-43), '[secret]');
  const quiet = { ...push, tell: (line: string) => push.tell(hide(line)) };
  quiet.tell(`Secret ${kid} is minted; it belongs to the version that is made now.`);
  try {
    const version = await importVersion(quiet, before, secret);
    await secrets.attach(name, kid, version.id);
    push.signal.throwIfAborted();
    const template = await publish(quiet, before, version);
    quiet.tell(`Version ${version.name} is active.`);
    if (before !== null) await describe(coder, template, push.package.metadata);
    const ids = { template_id: template.id, version: version.name, version_id: version.id };
    return { template: name, ...ids, organization: organization.name, created: before === null, kid };
  } catch (error) {
    const { message, exitCode } = asFailure(error);
    if (error instanceof MayBeActive) throw new CommandFailure(exitCode, hide(message));
    const end = await retire(push, kid, before !== null);
    throw new CommandFailure(exitCode, `${hide(message)}\n${end}`);
  }
}

/** Ends a push without taking the secret back, because workspaces may already be built with it. */
class MayBeActive extends CommandFailure {}

async function findTemplate({ coder, organization, name }: PushTemplate): Promise<Template | null> {
  try {
    return await coder.getTemplateByName(organization.id, name);
  } catch (error) {
    if (error instanceof CoderError && error.kind === 'not_found') return null;
    throw error;
  }
}

async function importVersion(push: PushTemplate, before: Template | null, secret: string): Promise<TemplateVersion> {
  const { coder, tell, versionName, message } = push;
  push.signal.throwIfAborted();
  const fileId = await coder.uploadFile(push.package.archive);
  tell(`Uploaded ${push.package.files.size} files, ${Math.ceil(push.package.archive.length / 1024)} KiB.`);
  const values = Object.entries({ ...push.values, [secretVariable]: secret });
  const version = await coder.createTemplateVersion(push.organization.id, {
    ...(versionName === undefined ? {} : { name: versionName }),
    ...(message === undefined ? {} : { message }),
    ...(before === null ? {} : { template_id: before.id }),
    storage_method: 'file',
    file_id: fileId,
    provisioner: 'terraform',
    tags: {},
    user_variable_values: values.map(([name, value]) => ({ name, value })),
  });
  return await followImport(push, version);
}

/** How often in a row Coder may fail to say how far an import is. */
const missesAtMost = 5;
const passing: readonly CoderErrorKind[] = ['unavailable', 'unreachable', 'timeout', 'rate_limited', 'failed'];

async function followImport(push: PushTemplate, started: TemplateVersion): Promise<TemplateVersion> {
  const deadlineMs = performance.now() + push.timeoutMs;
  let version = started;
  let told = '';
  for (let misses = 0; ;) {
    const line = progressOf(version);
    if (line !== told) push.tell((told = line));
    if (isEnded(version)) return version;
    if (performance.now() > deadlineMs)
      throw new CommandFailure(
        124,
        `The import of version ${version.name} did not end within ${push.timeoutMs / 1000} s. Check that a provisioner runs, or give it longer with --timeout.`,
      );
    await sleep(push.pollMs, undefined, { signal: push.signal }).catch(() => push.signal.throwIfAborted());
    try {
      version = await push.coder.getTemplateVersion(version.id);
      misses = 0;
    } catch (error) {
      const isPassing = error instanceof CoderError && passing.includes(error.kind);
      if (!isPassing || ++misses > missesAtMost) throw error;
    }
  }
}

function progressOf({ name, job }: TemplateVersion): string {
  const place = job.status === 'pending' && job.queue_position ? `, place ${job.queue_position} in the queue` : '';
  return `Import of version ${name}: ${job.status}${place}.`;
}

function isEnded({ name, job }: TemplateVersion): boolean {
  if (job.status === 'succeeded') return true;
  if (!['failed', 'canceled', 'unknown'].includes(job.status)) return false;
  throw new CommandFailure(1, `Coder did not import version ${name}: ${job.error || `the job is ${job.status}`}.`);
}

/** Answers that say for certain that nothing was done. */
const refusals: readonly CoderErrorKind[] = [
  ...([
    'unauthenticated',
    'forbidden',
    'not_found',
    'gone',
    'conflict',
    'invalid',
    'too_early',
    'rate_limited',
  ] as const),
];

/** Makes the version active: of the template there was, or of a new one. */
async function publish(push: PushTemplate, before: Template | null, version: TemplateVersion): Promise<Template> {
  const { coder, organization, name } = push;
  try {
    if (before === null)
      return await coder.createTemplate(organization.id, {
        name,
        template_version_id: version.id,
        ...push.package.metadata,
      });
    await coder.activateTemplateVersion(before.id, version.id);
    return before;
  } catch (error) {
    if (error instanceof CoderError && refusals.includes(error.kind)) throw error;
    const template = await findTemplate(push).catch(() => null);
    if (template?.active_version_id === version.id) return template;
    throw new MayBeActive(
      1,
      `${asFailure(error).message}\nVersion ${version.name} may have become active all the same, so its secret stays valid. Look in Coder, and push again.`,
    );
  }
}

/** Settings of a template that are said again when its texts change: Coder took what was left out for 0 or false. */
const keptSettings = [
  'default_ttl_ms',
  'activity_bump_ms',
  'time_til_autostop_notify_ms',
  'failure_ttl_ms',
  'time_til_dormant_ms',
  'time_til_dormant_autodelete_ms',
  'allow_user_autostart',
  'allow_user_autostop',
  'allow_user_cancel_workspace_jobs',
  'require_active_version',
] as const;

async function describe(coder: CoderClient, template: Template, metadata: TemplateMetadata): Promise<void> {
  const wanted = Object.entries(metadata) as [keyof TemplateMetadata, string][];
  if (wanted.every(([key, text]) => (template[key] ?? '') === text)) return;
  const kept = keptSettings.flatMap((key) => (template[key] == null ? [] : [[key, template[key]] as const]));
  try {
    await coder.updateTemplate(template.id, { ...Object.fromEntries(kept), ...metadata });
  } catch (error) {
    throw new MayBeActive(
      1,
      `The new version is active, but Coder did not take the template's name, description and icon: ${asFailure(error).message}`,
    );
  }
}

/** Takes back a secret that no version needs, and says how that went. */
async function retire({ secrets, name }: PushTemplate, kid: string, hasVersion: boolean): Promise<string> {
  const stays = hasVersion ? ' The version before it stays active, and its secret valid.' : '';
  try {
    await secrets.retire(name, kid);
    return `Nothing became active, and secret ${kid} is retired.${stays}`;
  } catch (error) {
    return `Nothing became active. Secret ${kid} could not be retired: ${asFailure(error).message}${stays}`;
  }
}

/** One sentence for people about anything that was thrown. */
export function asFailure(error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error;
  if (!(error instanceof CoderError))
    return new CommandFailure(1, error instanceof Error ? error.message : 'It failed.');
  const details = [error.detail, ...error.validations.map(({ field, detail }) => `${field}: ${detail}`)];
  const isOutside = error.kind === 'unreachable' || error.kind === 'unauthenticated';
  const exitCode: ExitCode = isOutside ? 2 : error.kind === 'timeout' ? 124 : 1;
  return new CommandFailure(exitCode, [error.message, ...details.filter(Boolean)].join(' '));
}

const fail = (error: unknown): never => {
  throw asFailure(error);
};
