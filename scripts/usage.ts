import Table from 'cli-table3';
import { Command, Option } from 'commander';
import { z } from 'zod';
import { visible, visibleJson } from './approval-text.ts';
import { ask } from './ask.ts';
import { inProcess, withServiceOptions, type ServiceFlags, type Surroundings } from './template-context.ts';

const example = `
Examples:
  outrigger usage                              # your tasks
  outrigger usage --by model --from 2026-11-01
  outrigger usage --by user --all              # everybody's, for admins of the organization
`;

export interface UsageFlags extends ServiceFlags {
  readonly by?: string;
  readonly all?: boolean;
  readonly from?: string;
  readonly to?: string;
}

/** `outrigger usage` */
export function usageCommand(): Command {
  return withServiceOptions(new Command('usage'))
    .description('show what model calls have used, as the gateway counted it')
    .addOption(
      new Option('--by <what>', 'what to sum by')
        .choices(['task', 'user', 'model', 'workspace', 'organization'])
        .default('task'),
    )
    .option('--all', "everybody's of the organization; for its admins")
    .option('--from <date>', 'calls from this day on, such as 2026-11-01, or a moment in ISO 8601')
    .option('--to <date>', 'calls before this day')
    .addHelpText('after', example)
    .action(async (flags: UsageFlags) => {
      process.exitCode = await inProcess(flags, (around) => showUsage(flags, around));
    });
}

const sums = z.looseObject({
  input_tokens: z.number(),
  cached_tokens: z.number(),
  output_tokens: z.number(),
  reasoning_tokens: z.number(),
  calls: z.number(),
  tool_calls: z.number(),
  cost_micro_usd: z.number(),
  unpriced_calls: z.number(),
  estimated_calls: z.number(),
});
type Sums = z.output<typeof sums>;
const page = z.object({
  items: z.array(sums.extend({ key: z.string() })),
  total: sums,
  next_cursor: z.string().nullable(),
});

const momentOf = (date: string): string => (date.includes('T') ? date : `${date}T00:00:00Z`);

/** Prints sums, and their total. Throws a `CommandFailure`. */
export async function showUsage(flags: UsageFlags, around: Surroundings): Promise<void> {
  const by = flags.by ?? 'task';
  const query = new URLSearchParams({
    ...{ by, limit: '200', scope: flags.all ? 'organization' : 'mine' },
    ...(flags.organization === undefined ? {} : { organization_id: flags.organization }),
    ...(flags.from === undefined ? {} : { from: momentOf(flags.from) }),
    ...(flags.to === undefined ? {} : { to: momentOf(flags.to) }),
  });
  const items: z.output<typeof page>['items'] = [];
  let answer: z.output<typeof page>;
  do {
    answer = await ask(flags, around, page, 'GET', `/api/v2/agents/usage?${query.toString()}`);
    items.push(...answer.items);
    if (answer.next_cursor !== null) query.set('cursor', answer.next_cursor);
  } while (answer.next_cursor !== null);
  if (flags.output === 'json') return around.print(visibleJson({ by, items, total: answer.total }));
  if (items.length === 0) return around.print('No model call has been made.');
  around.print(tableOf(by, items, answer.total));
}

const row = (name: string, one: Sums): string[] => [
  visible(name),
  String(one.calls),
  String(one.input_tokens + one.cached_tokens),
  String(one.output_tokens + one.reasoning_tokens),
  String(one.tool_calls),
  `$${(one.cost_micro_usd / 1e6).toFixed(4)}`,
  notesOn(one),
];

function notesOn({ unpriced_calls: unpriced, estimated_calls: estimated }: Sums): string {
  const notes = [unpriced > 0 ? `${unpriced} without a price` : '', estimated > 0 ? `${estimated} estimated` : ''];
  return notes.filter((note) => note !== '').join(', ');
}

function tableOf(by: string, items: readonly (Sums & { readonly key: string })[], total: Sums): string {
  const table = new Table({
    head: [by, 'calls', 'in', 'out', 'tools', 'cost', ''],
    style: { head: [], border: [] },
  });
  for (const item of items) table.push(row(item.key, item));
  table.push(row('total', total));
  return table.toString();
}
