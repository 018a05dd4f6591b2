import { Command } from 'commander';
import { ServiceError } from '../service/platform/errors.ts';
import { kinds } from './apply/kinds.ts';
import { readManifests, type Fault, type Manifest } from './apply/manifests.ts';
import { changeIn, together, type Change, type Ground, type Plan } from './apply/plan.ts';
import { visible, visibleJson } from './approval-text.ts';
import { CommandFailure } from './command-failure.ts';
import {
  inProcess,
  organizationQuery,
  reach,
  withServiceOptions,
  type ServiceFlags,
  type Surroundings,
} from './template-context.ts';

export interface ApplyFlags extends ServiceFlags {
  readonly filename: readonly string[];
  readonly dryRun?: true;
  readonly strict?: true;
}

/** `outrigger apply` */
export function applyCommand(): Command {
  const kindNames = kinds.map(({ kind, apiVersion }) => `  ${kind.padEnd(14)}  ${apiVersion}\n`).join('');
  return withServiceOptions(new Command('apply'))
    .description('make the service say what files say; applying them again changes nothing')
    .requiredOption(
      '-f, --filename <path>',
      'a file, or a folder of .yaml, .yml and .json files; may be repeated',
      (one: string, all: readonly string[] = []) => [...all, one],
    )
    .option('--dry-run', 'check everything and say what would change')
    .option('--strict', 'refuse fields that nothing here heeds, instead of naming and leaving them out')
    .addHelpText('after', `\nKinds:\n${kindNames}\nExample:\n  outrigger apply -f docs/workflows/ --dry-run\n`)
    .action(async (flags: ApplyFlags) => {
      process.exitCode = await inProcess(flags, (around) => applyFiles(flags, around));
    });
}

interface Foreseen {
  readonly plan: Plan;
  readonly changes: readonly Change[];
}

/** Applies files: everything is checked first, then sent in the order of the kinds. Throws a `CommandFailure`. */
export async function applyFiles(flags: ApplyFlags, around: Surroundings): Promise<void> {
  const { manifests, faults } = readManifests(flags.filename);
  if (manifests.length === 0 && faults.length === 0) throw new CommandFailure(2, 'There is nothing to apply.');
  const { call } = reach(flags, around.config);
  const ground: Ground = { call, manifests, query: await organizationQuery(flags, around.config) };
  const foreseen: Foreseen[] = [];
  const all = [...faults];
  for (const manifest of [...manifests].sort((one, other) => rank(one) - rank(other))) {
    const result = await foresee(manifest, ground, flags.strict === true);
    if ('message' in result) all.push(result);
    else foreseen.push(result);
  }
  for (const { plan } of foreseen)
    for (const path of plan.leftOut)
      around.tell(`${titleOf(plan.manifest)}: ${visible(path)} is not known here and is left out.`);
  if (all.length > 0) throw refusedAll(all);
  const changes = flags.dryRun === true ? foreseen.map((one) => together(one.changes)) : await send(foreseen, ground);
  report(foreseen, changes, flags, around);
}

const rank = ({ kind }: Manifest): number => kinds.findIndex((one) => one.kind === kind);
const titleOf = ({ kind, name }: Manifest): string => `${kind}/${name}`;

/** What a manifest asks for and would change, or why it cannot be. */
async function foresee(manifest: Manifest, ground: Ground, isStrict: boolean): Promise<Foreseen | Fault> {
  const { where } = manifest;
  const known = kinds.find(({ kind }) => kind === manifest.kind);
  const names = kinds.map(({ kind }) => kind).join(', ');
  if (!known) return { where, message: `kind ${visible(manifest.kind)} is not known. There are: ${names}.` };
  if (known.apiVersion !== manifest.apiVersion)
    return {
      where,
      message: `apiVersion of a ${manifest.kind} is ${known.apiVersion}, not ${visible(manifest.apiVersion)}.`,
    };
  try {
    const plan = await known.plan(manifest, ground);
    if (isStrict && plan.leftOut.length > 0)
      return { where, message: `${titleOf(manifest)}: not known here: ${plan.leftOut.map(visible).join(', ')}.` };
    const changes: Change[] = [];
    for (const step of plan.steps) changes.push(await step.foresee());
    return { plan, changes };
  } catch (error) {
    const isAnswer = error instanceof ServiceError || (error instanceof CommandFailure && error.exitCode === 1);
    if (!isAnswer) throw error;
    return { where, message: `${titleOf(manifest)}: ${error.message}` };
  }
}

/** Sends what is not there yet, and says with a failure what was done before it. */
async function send(foreseen: readonly Foreseen[], { call }: Ground): Promise<readonly Change[]> {
  const done: Change[] = [];
  for (const { plan, changes } of foreseen) {
    const made: Change[] = [];
    for (const [index, step] of plan.steps.entries()) {
      const expected = changes[index] ?? 'changed';
      if (expected === 'unchanged') {
        made.push(expected);
        continue;
      }
      const answer = await call('PUT', step.path, step.body).catch((error: unknown) => {
        throw brokeOff(error, plan.manifest, foreseen, done);
      });
      made.push(step.after?.(answer) ?? changeIn(answer) ?? expected);
    }
    done.push(together(made));
  }
  return done;
}

function report(
  foreseen: readonly Foreseen[],
  changes: readonly Change[],
  flags: ApplyFlags,
  around: Surroundings,
): void {
  const lines = foreseen.map(({ plan }, index) => ({
    kind: plan.manifest.kind,
    name: plan.manifest.name,
    change: changes[index] ?? 'unchanged',
    left_out: plan.leftOut,
  }));
  if (flags.output === 'json') return around.print(visibleJson(lines));
  for (const { kind, name, change } of lines) around.print(`${change.padEnd(9)}  ${kind}/${name}`);
  if (flags.dryRun === true) around.print('Nothing was sent: this is what would be.');
  else if (changes.every((change) => change === 'unchanged')) around.print('Nothing changed.');
}

const refusedAll = (faults: readonly Fault[]): CommandFailure =>
  new CommandFailure(
    2,
    [...faults.map(({ where, message }) => `${where}: ${message}`), 'Nothing was sent.'].join('\n'),
  );

function brokeOff(
  cause: unknown,
  failed: Manifest,
  foreseen: readonly Foreseen[],
  done: readonly Change[],
): CommandFailure {
  const titles = foreseen.map(({ plan }) => titleOf(plan.manifest));
  const before = titles.slice(0, done.length).map((title, index) => `${done[index]} ${title}`);
  const after = titles.slice(done.length + 1);
  const code = cause instanceof CommandFailure ? cause.exitCode : 1;
  return new CommandFailure(
    code,
    [
      `${failed.where}: ${titleOf(failed)}: ${cause instanceof Error ? cause.message : String(cause)}`,
      `Done before it: ${before.join(', ') || 'nothing'}. Not sent: ${after.join(', ') || 'nothing else'}.`,
      'What was done stays; apply again when it is mended.',
    ].join('\n'),
    { cause },
  );
}
