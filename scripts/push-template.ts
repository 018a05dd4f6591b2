import type { CoderClient, Template, TemplateVersion } from 'coder-sdk-ts';
import { asFailure, fail, findTemplate } from './coder-failure.ts';
import { CommandFailure } from './command-failure.ts';
import { checkForm } from './push-form.ts';
import { importVersion } from './push-import.ts';
import type { Pace } from './push-pace.ts';
import { describe, MayBeActive, publish } from './push-publish.ts';
import { changeOf, filesOf, readActiveVersion } from './push-unchanged.ts';
import type { TemplateSecretClient } from './service-client.ts';
import type { Clock } from './template-context.ts';
import { refusePush } from './template-owner.ts';
import type { TemplatePackage } from './template-package.ts';
import type { Values } from './template-variables.ts';

export interface PushTemplate {
  readonly name: string;
  readonly package: TemplatePackage;
  /** Every variable but the secret. */
  readonly values: Values;
  /** Names of sensitive variables. */
  readonly sensitive: readonly string[];
  readonly organization: { readonly id: string; readonly name: string };
  /** Undefined: Coder makes one up. */
  readonly versionName: string | undefined;
  readonly message: string | undefined;
  /** False: the version is made and checked, and the one before it stays active. */
  readonly activate: boolean;
  /** True: a new version even where nothing changed. */
  readonly force: boolean;
  /** True: also a template that the stack coder-catalog published. */
  readonly takeOver: boolean;
  readonly coder: CoderClient;
  readonly secrets: TemplateSecretClient;
  /** Where progress goes, line by line. */
  readonly tell: (line: string) => void;
  /** Its reason is what the push then ends with. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Under which uploads are sent. */
  readonly pace: Pace;
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
  /** False when the active version holds the same files and values, so that none was made. */
  readonly changed: boolean;
  readonly active: boolean;
  /** Names the secret of this version; says nothing about it. Null where no version was made. */
  readonly kid: string | null;
}

/** A template that is ready to become active, or needs nothing. */
interface Staged {
  readonly push: PushTemplate;
  readonly before: Template | null;
  readonly version: TemplateVersion;
  /** Null where nothing changed. */
  readonly kid: string | null;
  /** Takes the secret out of a text. */
  readonly hide: (text: string) => string;
}

/**
 * Makes a new version of each template, with a secret of its own, and then makes them active.
 *
 * Order    for each: secret minted → archive sent → imported → form evaluated → version told to the service; then all
 *          become active. What fails before changes nothing for workspaces: the versions before stay active, and the
 *          new secrets are retired.
 * Same     a template whose active version holds these files and values gets no new version and keeps its secret.
 * Errors   `CommandFailure` with one sentence for people; a secret is in none, nor in any line of progress.
 */
export async function pushTemplates(pushes: readonly PushTemplate[]): Promise<readonly PushedTemplate[]> {
  const staged: Staged[] = [];
  try {
    for (const push of pushes) staged.push(await stage(push));
  } catch (error) {
    throw await withRetired(error, staged);
  }
  const pushed: PushedTemplate[] = [];
  for (const [at, one] of staged.entries())
    try {
      pushed.push(await activate(one));
    } catch (error) {
      // What may be active keeps its secret, so only what comes after it is taken back.
      const hidden = error instanceof MayBeActive ? new CommandFailure(error.exitCode, one.hide(error.message)) : error;
      const rest = staged.slice(error instanceof MayBeActive ? at + 1 : at);
      const done = pushed.filter(({ changed, active }) => changed && active).map(({ template }) => template);
      throw await withRetired(hidden, rest, done);
    }
  return pushed;
}

async function stage(push: PushTemplate): Promise<Staged> {
  const { name, coder, secrets, organization } = push;
  const before = await findTemplate(coder, organization.id, name).catch(fail);
  if (before === null && !push.activate)
    throw new CommandFailure(
      2,
      `There is no template ${name} yet, and the first version of a template is always active. Leave --no-activate out.`,
    );
  const active = before === null ? null : await readActiveVersion(coder, before).catch(fail);
  const refusal = active === null || push.takeOver ? undefined : refusePush(name, active);
  if (refusal !== undefined) throw new CommandFailure(1, refusal);
  const same = active === null || push.force ? null : await findSame(push, active).catch(fail);
  if (same !== null) return { push, before, version: same, kid: null, hide: (text) => text };
  const { kid, secret } = await secrets.mint(name, organization.id);
  const hide = (text: string): string => text.replaceAll(secret, '[secret]').replaceAll(secret.slice(-43), '[secret]');
  const quiet = { ...push, tell: (line: string) => push.tell(hide(line)) };
  quiet.tell(`Secret ${kid} is minted; it belongs to the version of ${name} that is made now.`);
  try {
    const version = await importVersion(quiet, before, secret);
    await checkForm(coder, version, quiet.tell);
    await secrets.attach(name, kid, version.id);
    push.signal.throwIfAborted();
    return { push: quiet, before, version, kid, hide };
  } catch (error) {
    const { message, exitCode } = asFailure(error);
    throw new CommandFailure(exitCode, `${hide(message)}\n${await retire(push, kid, before !== null)}`);
  }
}

/** The active version, if a push would make the same again. */
async function findSame(push: PushTemplate, version: TemplateVersion): Promise<TemplateVersion | null> {
  const active = { version, files: await filesOf(push.coder, version) };
  const change = await changeOf(push.coder, active, {
    files: push.package.files,
    values: push.values,
    sensitive: push.sensitive,
  });
  push.tell(
    change === null
      ? `Version ${active.version.name} of ${push.name} holds these files and values already.`
      : `A new version of ${push.name} is needed: ${change}.`,
  );
  return change === null ? active.version : null;
}

async function activate({ push, before, version, kid }: Staged): Promise<PushedTemplate> {
  const { name: template, organization, coder, tell } = push;
  const ids = { template, organization: organization.name, version: version.name, version_id: version.id };
  const isNew = kid !== null;
  if (isNew && before !== null && !push.activate)
    return { ...ids, template_id: before.id, created: false, changed: true, active: false, kid };
  const published = isNew || before === null ? await publish(push, before, version) : before;
  if (isNew) tell(`Version ${version.name} of ${template} is active.`);
  if (before !== null) await describe(coder, published, push.package.metadata);
  return { ...ids, template_id: published.id, created: before === null, changed: isNew, active: true, kid };
}

/** The failure, with what became of every secret that was minted for nothing. */
async function withRetired(error: unknown, staged: readonly Staged[], active: readonly string[] = []): Promise<Error> {
  const { message, exitCode } = asFailure(error);
  const hidden = staged.reduce((text, { hide }) => hide(text), message);
  const ends: string[] = [];
  for (const { push, kid, before } of staged) if (kid !== null) ends.push(await retire(push, kid, before !== null));
  if (active.length > 0) ends.push(`Active before that: ${active.join(', ')}.`);
  return new CommandFailure(exitCode, [hidden, ...ends].join('\n'));
}

/** Takes back a secret that no version needs, and says how that went. */
async function retire({ secrets, name }: PushTemplate, kid: string, hasVersion: boolean): Promise<string> {
  const stays = hasVersion ? ' The version before it stays active, and its secret valid.' : '';
  try {
    await secrets.retire(name, kid);
    return `Nothing of ${name} became active, and secret ${kid} is retired.${stays}`;
  } catch (error) {
    return `Nothing of ${name} became active. Secret ${kid} could not be retired: ${asFailure(error).message}${stays}`;
  }
}
