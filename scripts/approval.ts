import { Command } from 'commander';
import { z } from 'zod';
import { answers } from '../modules/contract.ts';
import { detailLines, titleLine, visibleJson } from './approval-text.ts';
import { CommandFailure } from './command-failure.ts';
import { notOurs } from './service-client.ts';
import { inProcess, reach, withServiceOptions, type ServiceFlags, type Surroundings } from './template-context.ts';

/** `outrigger approval …` */
export function approvalCommand(): Command {
  const list = withServiceOptions(new Command('list'))
    .description('show what your running tasks ask, the newest first')
    .action(async (flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => listApprovals(flags, around));
    });
  const decide = withServiceOptions(new Command('decide'))
    .description('answer one question')
    .argument('<id>', 'which question, as `approval list` shows it')
    .argument('<decision>', answers.join(' or '))
    .option('--message <text>', 'what the agent is told with it')
    .addHelpText('after', '\nExample:\n  outrigger approval decide 0190… reject --message "Not before the review."\n')
    .action(async (id: string, decision: string, flags: DecideFlags) => {
      process.exitCode = await inProcess(flags, (around) => decideApproval(id, decision, flags, around));
    });
  return new Command('approval').addCommand(list).addCommand(decide);
}

export interface DecideFlags extends ServiceFlags {
  readonly message?: string;
}

const path = '/api/v2/agents/approvals';
const approval = z.looseObject({
  id: z.string(),
  task_id: z.string().nullable(),
  /** Of a draft that waits to be started, or began. */
  workflow_id: z.string().nullish(),
  kind: z.string(),
  title: z.string(),
  detail: z.record(z.string(), z.unknown()),
  state: z.string(),
  expires_at: z.string(),
});
const pending = z.object({ items: z.array(approval) });

/** Prints the open questions of the person. Throws a `CommandFailure`. */
export async function listApprovals(flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { call, url } = reach(flags, around.config);
  const found = pending.safeParse(await call('GET', `${path}?state=pending&limit=200`));
  if (!found.success) throw notOurs(url);
  const { items } = found.data;
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0) return around.print('Nothing waits for you.');
  for (const { id, task_id: task, kind, title, detail, expires_at: until } of items) {
    // An agent wrote these: they must not steer the terminal.
    const whose = task === null ? 'a draft' : `task ${task}`;
    around.print(`${id}  ${kind}: ${titleLine(title)}  (${whose}, until ${until})`);
    for (const line of detailLines(detail)) around.print(`    ${line}`);
  }
}

/** Answers one question. Throws a `CommandFailure`. */
export async function decideApproval(
  id: string,
  word: string,
  flags: DecideFlags,
  around: Surroundings,
): Promise<void> {
  const decision = answers.find((known) => known === word);
  if (decision === undefined) throw new CommandFailure(2, `Say ${answers.join(' or ')}, not "${word}".`);
  const { call, url } = reach(flags, around.config);
  const { message } = flags;
  const answer = await call('POST', `${path}/${encodeURIComponent(id)}/decision`, {
    decision,
    ...(message === undefined ? {} : { message }),
  });
  const decided = approval.safeParse(answer);
  if (!decided.success) throw notOurs(url);
  around.print(flags.output === 'json' ? visibleJson(decided.data) : `${id}  ${decided.data.state}: ${word}`);
  const { workflow_id: workflow } = decided.data;
  if (workflow && decision !== 'reject') around.tell(`It begins. See it: outrigger workflow show ${workflow}`);
}
