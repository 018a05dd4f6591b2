import { Command } from 'commander';
import { z } from 'zod';
import { visible, visibleJson } from './approval-text.ts';
import type { ExitCode } from './command-failure.ts';
import { notOurs } from './service-client.ts';
import { inProcess, reach, type Surroundings } from './template-context.ts';
import { ofFile, withRunOptions, workflowsPath, type RunFlags } from './workflow-run.ts';

/** `outrigger workflow plan` */
export function planCommand(): Command {
  return withRunOptions(new Command('plan'))
    .description('say what a workflow would do, start, touch and cost; nothing runs')
    .argument('<file>', 'the workflow as YAML or JSON, or a manifest of one')
    .addHelpText(
      'after',
      `
Exit codes: 0 it could be run · 1 something in it is not allowed, or its cost is not approved · 2 wrong input

Example:
  outrigger workflow plan feature.yaml
  outrigger workflow plan docs/workflows/api-with-tests-and-review.yaml -p endpoint="GET /health"
  outrigger workflow plan feature.yaml --output json | jq .estimate
`,
    )
    .action(async (file: string, flags: RunFlags) => {
      process.exitCode = await inProcess(flags, (around) => planWorkflow(file, flags, around));
    });
}

const range = z.object({ low: z.number(), likely: z.number(), high: z.number() }).nullable();
export const estimateAnswer = z.looseObject({ tokens: range, cost_micro_usd: range, reason: z.string().nullable() });
export type EstimateAnswer = z.output<typeof estimateAnswer>;

const planAnswer = z.looseObject({
  name: z.string(),
  graph: z.looseObject({ levels: z.array(z.array(z.string())), critical_path: z.array(z.string()) }),
  agents: z.array(z.looseObject({ name: z.string(), runs_in: z.string(), actions: z.array(z.string()) })),
  workspaces: z.array(z.looseObject({ name: z.string(), start: z.string(), message: z.string().nullable() })),
  secrets: z.array(
    z.looseObject({ use: z.string(), agent: z.string().nullable(), env: z.string(), host: z.string().nullable() }),
  ),
  estimate: estimateAnswer,
  violations: z.array(z.looseObject({ step_id: z.string().nullable(), code: z.string(), message: z.string() })),
});
type PlanAnswer = z.output<typeof planAnswer>;

/** Prints the plan of a file. Answers 1 where it would be refused. Throws a `CommandFailure`. */
export async function planWorkflow(file: string, flags: RunFlags, around: Surroundings): Promise<ExitCode | void> {
  const { call, url } = reach(flags, around.config);
  const found = planAnswer.safeParse(await call('POST', `${workflowsPath}?dry_run=true`, ofFile(file, flags).body));
  if (!found.success) throw notOurs(url);
  for (const line of flags.output === 'json' ? [visibleJson(found.data)] : planLines(found.data)) around.print(line);
  return found.data.violations.length > 0 ? 1 : undefined;
}

const starts: Readonly<Record<string, string>> = {
  running: 'runs already',
  starting: 'is being started already',
  start: 'is stopped and will be started',
};

/** A plan for people. */
export const planLines = (plan: PlanAnswer): readonly string[] => [
  visible(plan.name),
  ...plan.graph.levels.map((ids, level) => `  ${String(level + 1).padStart(2)}. ${ids.join(', ')}`),
  `  longest chain: ${plan.graph.critical_path.join(' → ')}`,
  ...section(
    'agents',
    plan.agents.map((one) => `${one.name} (in the ${one.runs_in}): ${one.actions.join(', ')}`),
  ),
  ...section(
    'workspaces',
    plan.workspaces.map((one) => `${one.name} ${starts[one.start] ?? `cannot be used: ${one.message ?? one.start}`}`),
  ),
  ...section(
    'secrets the service would use',
    plan.secrets.map(
      ({ env, agent, use, host }) =>
        `${env} of ${agent === null ? 'the service' : `entry ${agent}`}, for ${host === null ? `the ${use}` : host}`,
    ),
  ),
  ...estimateLines(plan.estimate),
  ...section(
    'would be refused',
    plan.violations.map((one) => `${one.step_id === null ? '' : `${one.step_id}: `}${one.message} (${one.code})`),
  ),
];

const section = (title: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : [`${title}:`, ...lines.map((line) => `  ${visible(line)}`)];

/** What it may cost, or why nobody can say. */
export function estimateLines({ tokens, cost_micro_usd: cost, reason }: EstimateAnswer): readonly string[] {
  const known = [
    ...(tokens === null ? [] : [`tokens ${spread(tokens, String)}`]),
    ...(cost === null ? [] : [`cost ${spread(cost, (micro) => `${(micro / 1_000_000).toFixed(4)} USD`)}`]),
  ];
  return section('from what such work used before', [...known, ...(reason === null ? [] : [`unknown: ${reason}`])]);
}

const spread = (one: { low: number; likely: number; high: number }, say: (value: number) => string): string =>
  `${say(one.low)} to ${say(one.high)}, likely ${say(one.likely)}`;
