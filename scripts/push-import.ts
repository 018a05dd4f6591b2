import { CoderError, type CoderErrorKind, type Template, type TemplateVersion } from 'coder-sdk-ts';
import { CommandFailure } from './command-failure.ts';
import type { PushTemplate } from './push-template.ts';
import { secretVariable } from './template-variables.ts';

/** Sends the archive, has Coder import it, and tells what the import says. Throws a `CommandFailure` or `CoderError`. */
export async function importVersion(
  push: PushTemplate,
  before: Template | null,
  secret: string,
): Promise<TemplateVersion> {
  const { coder, tell, versionName, message } = push;
  push.signal.throwIfAborted();
  const fileId = await push.pace(() => coder.uploadFile(push.package.archive));
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
  const { clock } = push;
  const deadlineMs = clock.nowMs() + push.timeoutMs;
  const tellLogs = makeLogTeller(push, started.id);
  let version = started;
  let told = '';
  for (let misses = 0; ;) {
    const line = progressOf(version);
    if (line !== told) push.tell((told = line));
    // After the state, so that nothing said before the end is missed.
    if (version !== started) await tellLogs();
    if (isEnded(version)) return version;
    if (clock.nowMs() > deadlineMs)
      throw new CommandFailure(
        124,
        `The import of version ${version.name} did not end within ${push.timeoutMs / 1000} s. Check that a provisioner runs, or give it longer with --timeout.`,
      );
    await clock.sleep(push.pollMs, push.signal);
    try {
      version = await push.coder.getTemplateVersion(version.id);
      misses = 0;
    } catch (error) {
      const isPassing = error instanceof CoderError && passing.includes(error.kind);
      if (!isPassing || ++misses > missesAtMost) throw error;
    }
  }
}

/** Tells what is new in the log at each call. The log is a courtesy: a Coder that does not give it stops no push. */
function makeLogTeller({ coder, tell }: PushTemplate, versionId: string): () => Promise<void> {
  let last: number | undefined;
  let stage = '';
  return async () => {
    const lines = await coder.templateVersionLogs(versionId, last).catch((error: unknown) => {
      if (error instanceof CoderError) return [];
      throw error;
    });
    for (const line of lines) {
      last = line.id;
      if (line.stage && line.stage !== stage) tell(`  ${(stage = line.stage)}`);
      const level = ['warn', 'error'].includes(line.log_level ?? '') ? `${line.log_level}: ` : '';
      if (line.output !== '') tell(`    ${level}${line.output.replaceAll('\n', '\n    ')}`);
    }
  };
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
