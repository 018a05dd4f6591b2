import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { stringify } from 'yaml';
import { z } from 'zod';
import { visible, visibleJson } from './approval-text.ts';
import { CommandFailure } from './command-failure.ts';
import { notOurs } from './service-client.ts';
import { inProcess, reach, withServiceOptions, type ServiceFlags, type Surroundings } from './template-context.ts';
import { estimateAnswer, estimateLines } from './workflow-plan.ts';

export interface ComposeFlags extends ServiceFlags {
  readonly out?: string;
  readonly execute?: true;
  readonly workspace?: string;
  readonly agent?: readonly string[];
  readonly maxSteps?: string;
}

/** `outrigger workflow compose` */
export function composeCommand(): Command {
  return withServiceOptions(new Command('compose'))
    .description('turn a goal into a draft of a workflow; nothing runs before you approve it')
    .argument('<goal>', 'what is to be reached, in your words')
    .option('--out <file>', 'write the draft into a file, to be changed and run with `workflow run`')
    .option('--execute', 'ask for the draft to be run: it waits for `approval decide`')
    .option('--workspace <name>', 'where it runs; without it your only running workspace')
    .option('--agent <names...>', 'which agents it may use; without it all that you may')
    .option('--max-steps <number>', 'how many steps are the most')
    .addHelpText(
      'after',
      `
Examples:
  outrigger workflow compose "Add a greeting endpoint and tests" --out greeting.yaml
  outrigger workflow compose "Mend the failing tests" --execute
`,
    )
    .action(async (goal: string, flags: ComposeFlags) => {
      process.exitCode = await inProcess(flags, (around) => composeWorkflow(goal, flags, around));
    });
}

const composeAnswer = z.looseObject({
  source: z.enum(['model', 'rules']),
  draft: z.looseObject({ name: z.string(), steps: z.array(z.unknown()) }),
  explanation: z.string(),
  warnings: z.array(z.string()),
  estimate: estimateAnswer,
  approval_id: z.string().nullable(),
  workflow_id: z.string().nullable(),
});

/** A model may be asked twice, for a minute each. */
const answersMs = 150_000;

/** Prints a draft, or writes it into a file. Throws a `CommandFailure`. */
export async function composeWorkflow(goal: string, flags: ComposeFlags, around: Surroundings): Promise<void> {
  const { call, url } = reach(flags, around.config, { timeoutMs: answersMs });
  const body = requestOf(goal, flags);
  const headers = { 'Idempotency-Key': randomUUID() };
  const found = composeAnswer.safeParse(await call('POST', '/api/v2/agents/agentzero/compose', body, headers));
  if (!found.success) throw notOurs(url);
  const { draft, explanation, warnings, estimate, approval_id: approvalId, workflow_id: workflowId } = found.data;
  const { out } = flags;
  if (out !== undefined) write(out, stringify(draft));
  if (flags.output === 'json') return around.print(visibleJson(found.data));
  // A model wrote these: they must not steer the terminal.
  for (const line of out === undefined ? stringify(draft).trimEnd().split('\n') : []) around.print(visible(line));
  around.tell(visible(explanation));
  for (const warning of warnings) around.tell(`Note: ${visible(warning)}`);
  for (const line of estimateLines(estimate)) around.tell(line);
  if (out !== undefined) around.tell(`Written to ${out}. Read it, then: outrigger workflow run ${out}`);
  if (approvalId !== null && workflowId !== null)
    around.tell(`Workflow ${workflowId} begins with: outrigger approval decide ${approvalId} once`);
}

function requestOf(goal: string, { workspace, agent, maxSteps, execute }: ComposeFlags) {
  if (maxSteps !== undefined && !/^[1-9]\d{0,2}$/.test(maxSteps))
    throw new CommandFailure(2, '--max-steps is a whole number, such as 5.');
  return {
    goal,
    ...(agent === undefined ? {} : { agents: agent }),
    constraints: {
      ...(workspace === undefined ? {} : { workspace_id: workspace }),
      ...(maxSteps === undefined ? {} : { max_steps: Number(maxSteps) }),
    },
    ...(execute === true ? { execute } : {}),
  };
}

/** Never over a file that is there: somebody may have changed an earlier draft by hand. */
function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx' });
  } catch (cause) {
    const isThere = typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'EEXIST';
    throw new CommandFailure(
      2,
      isThere ? `${file} is there already. Name another with --out.` : `${file} cannot be written.`,
      {
        cause,
      },
    );
  }
}
