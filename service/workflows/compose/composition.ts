import { z } from 'zod';
import { ServiceError } from '../../platform/errors.ts';
import { parse } from '../../platform/http.ts';
import { shapeOf } from '../plan.ts';
import { workflowBody, type WorkflowBody } from '../submit-workflow.ts';
import type { Offer } from './offer.ts';

const goalBytes = 16 * 1024;
/** More steps than this nobody reads before they run. */
const mostSteps = 50;
/** Of 50 steps together less than what a person can be asked about at once, which is 256 KiB. */
const promptBytes = 4 * 1024;

/** Body of `POST …/agentzero/compose`. */
export const composeBody = z.strictObject({
  goal: z
    .string()
    .refine((text) => text.trim() !== '', 'the goal is empty; say what is to be reached')
    .refine((text) => Buffer.byteLength(text) <= goalBytes, 'the goal is larger than 16 KiB; say it shorter'),
  /** Which agents may be used; left out, all that the caller may. */
  agents: z.array(z.string().min(1).max(100)).min(1).max(50).optional(),
  constraints: z
    .strictObject({
      workspace_id: z.string().min(1).max(200).optional(),
      max_steps: z.number().int().min(1).max(mostSteps).default(10),
      max_parallel: z.number().int().min(1).max(100).default(10),
      max_cost_micro_usd: z.number().int().min(0).optional(),
      /** For the longest chain of steps together. */
      timeout_seconds: z
        .number()
        .int()
        .min(10)
        .max(30 * 86_400)
        .optional(),
      model: z.string().min(1).max(200).optional(),
    })
    .prefault({}),
  /** Asks for the draft to be run, which a person must approve first. */
  execute: z.boolean().default(false),
});
export type ComposeBody = z.output<typeof composeBody>;
export type Constraints = ComposeBody['constraints'];

/** What somebody proposes, a model or a rule: data, believed in nothing. */
export const proposal = z.object({
  name: z.string().describe('A short title of the whole.'),
  explanation: z
    .string()
    .describe('Two or three sentences for the person who decides: what happens, in which order, why.'),
  steps: z.array(
    z.object({
      id: z.string().describe('A short name of letters, digits, - and _.'),
      agent: z.string().describe('One of the agents offered.'),
      task: z.string().describe('One of the actions of that agent.'),
      depends_on: z.array(z.string()).describe('Ids of the steps that must have ended well before.'),
      prompt: z
        .string()
        .describe('What the agent is told. {{steps.<id>.output}} stands for what a step in depends_on answered.'),
    }),
  ),
});
export type Proposal = z.output<typeof proposal>;

/**
 * The workflow that a proposal amounts to, within what was asked: a body as anybody would send it.
 *
 * Errors  `invalid` or `unprocessable` with what is wrong, fit to be told to whoever proposed it.
 */
export function draftOf(given: Proposal, offer: Offer, constraints: Constraints, workspaceId: string): WorkflowBody {
  if (given.steps.length > constraints.max_steps)
    throw outOfBounds(`it has ${given.steps.length} steps, and ${constraints.max_steps} are the most`);
  const steps = given.steps.map((step) => {
    const action = offer.find(({ agent, task }) => agent === step.agent && task === step.task);
    if (!action) throw outOfBounds(`nothing offered is called ${step.agent}/${step.task}`.slice(0, 300));
    if (Buffer.byteLength(step.prompt) > promptBytes) throw outOfBounds(`the prompt of ${step.id} is above 4 KiB`);
    const { id, agent, task, depends_on, prompt } = step;
    const isPrompted = action.takesPrompt && prompt.trim() !== '';
    return {
      ...{ id, agent, task, depends_on },
      ...(isPrompted ? { params: { prompt } } : {}),
      ...(constraints.model === undefined ? {} : { model: constraints.model }),
      // Nobody is asked while it works, so it runs with this profile or not at all; the draft shows it.
      ...(action.changes ? { profile: 'trusted' as const } : {}),
    };
  });
  const name = given.name.trim().slice(0, 200) || 'Composed workflow';
  const { max_parallel } = constraints;
  const body = parse(workflowBody, { name, workspace_id: workspaceId, max_parallel, steps }, 'The draft');
  return constraints.timeout_seconds === undefined ? body : within(body, constraints.timeout_seconds);
}

/** Gives each step its share of the time, so that the longest chain ends in it. */
function within(body: WorkflowBody, seconds: number): WorkflowBody {
  const chain = shapeOf(body.steps.map(({ id, depends_on }) => ({ id, dependsOn: depends_on }))).critical_path.length;
  const share = Math.floor(seconds / Math.max(1, chain));
  if (share < leastSeconds) throw outOfBounds(`${chain} steps after each other do not fit into ${seconds} s`);
  const steps = body.steps.map((step) => ({ ...step, timeout_seconds: Math.min(step.timeout_seconds, share) }));
  return { ...body, steps };
}
const leastSeconds = 10;

/** The body as its reader would write it: what was left to the defaults stays out. */
export function readableDraft(body: WorkflowBody) {
  return {
    name: body.name,
    workspace_id: body.workspace_id,
    max_parallel: body.max_parallel,
    steps: body.steps.map((step) => ({
      ...{ id: step.id, agent: step.agent, task: step.task, depends_on: step.depends_on },
      ...(step.params.prompt === undefined ? {} : { params: { prompt: step.params.prompt } }),
      ...(step.model === undefined ? {} : { model: step.model }),
      ...(step.profile === undefined ? {} : { profile: step.profile }),
      timeout_seconds: step.timeout_seconds,
    })),
  };
}

export const explanationOf = ({ explanation }: Proposal): string => explanation.slice(0, 2_000);

const outOfBounds = (what: string): ServiceError =>
  new ServiceError('unprocessable', 'draft_out_of_bounds', `The draft is not what was asked for: ${what}.`);

/** Longest answer of a model, in tokens. */
export const answerTokens = 8_000;
