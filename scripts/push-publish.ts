import { CoderError, type CoderClient, type CoderErrorKind, type Template, type TemplateVersion } from 'coder-sdk-ts';
import { workingDay } from '../stacks/templates.ts';
import { asFailure, findTemplate } from './coder-failure.ts';
import { CommandFailure } from './command-failure.ts';
import type { PushTemplate } from './push-template.ts';
import type { TemplateMetadata } from './template-package.ts';

/** Ends a push without taking the secret back, because workspaces may already be built with it. */
export class MayBeActive extends CommandFailure {}

/** Answers that say for certain that nothing was done. */
const refusals: readonly CoderErrorKind[] = [
  'unauthenticated',
  'forbidden',
  'not_found',
  'gone',
  'conflict',
  'invalid',
  'too_early',
  'rate_limited',
];

/** Makes the version active: of the template there was, or of a new one. */
export async function publish(
  push: PushTemplate,
  before: Template | null,
  version: TemplateVersion,
): Promise<Template> {
  const { coder, organization, name } = push;
  try {
    if (before === null) return await create(push, version);
    await coder.activateTemplateVersion(before.id, version.id);
    return before;
  } catch (error) {
    if (error instanceof CoderError && refusals.includes(error.kind)) throw error;
    const template = await findTemplate(coder, organization.id, name).catch(() => null);
    if (template?.active_version_id === version.id) return template;
    throw new MayBeActive(
      1,
      `${asFailure(error).message}\nVersion ${version.name} may have become active all the same, so its secret stays valid. Look in Coder, and push again.`,
    );
  }
}

/** Makes the template with its schedule; without dormancy where this Coder has none, and says so. */
async function create(push: PushTemplate, version: TemplateVersion): Promise<Template> {
  const { coder, organization, name, tell } = push;
  const { metadata, schedule = workingDay } = push.package;
  const dormancy = { dormant_ttl_ms: schedule.dormantAfterMs };
  const wanted = {
    name,
    template_version_id: version.id,
    ...metadata,
    default_ttl_ms: schedule.autostopMs,
    activity_bump_ms: schedule.activityBumpMs,
  };
  const made = await coder.createTemplate(organization.id, { ...wanted, ...dormancy }).catch((error: unknown) => {
    if (!isAboutDormancy(error)) throw error;
    return coder.createTemplate(organization.id, wanted);
  });
  if (made.time_til_dormant_ms !== schedule.dormantAfterMs)
    tell(
      `This Coder sets no unused workspace of ${name} aside: dormancy is a Premium feature. They stop after ${schedule.autostopMs / 3_600_000} h all the same.`,
    );
  return made;
}

/** A refusal, so that nothing was made, of what only a license brings. */
const isAboutDormancy = (error: unknown): boolean =>
  error instanceof CoderError &&
  ['forbidden', 'invalid'].includes(error.kind) &&
  [error.message, ...error.validations.map(({ field }) => field)].some((text) =>
    /dorman|premium|licen[cs]e/i.test(text),
  );

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

/** Says in Coder what the README says, where it differs. */
export async function describe(coder: CoderClient, template: Template, metadata: TemplateMetadata): Promise<void> {
  const wanted = Object.entries(metadata) as [keyof TemplateMetadata, string][];
  if (wanted.every(([key, text]) => (template[key] ?? '') === text)) return;
  const kept = keptSettings.flatMap((key) => (template[key] == null ? [] : [[key, template[key]] as const]));
  try {
    await coder.updateTemplate(template.id, { ...Object.fromEntries(kept), ...metadata });
  } catch (error) {
    throw new MayBeActive(
      1,
      `The version is active, but Coder did not take the template's name, description and icon: ${asFailure(error).message}`,
    );
  }
}
