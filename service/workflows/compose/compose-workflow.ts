import type { Caller } from '../../identity/identity.ts';
import type { Gateway, TaskIdentity } from '../../gateway/gateway.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database.ts';
import { asServiceError } from '../../platform/http.ts';
import { ServiceError } from '../../platform/errors.ts';
import { choose } from '../../tasks/work-bounds.ts';
import type { Estimate } from '../estimate.ts';
import { planWorkflow, type PlanParts, type WorkflowPlan } from '../plan-workflow.ts';
import { checkWorkflowIn, findPlaces, type Place, type WorkflowBody } from '../submit-workflow.ts';
import { withModel, type AskModel } from './ask-model.ts';
import { draftOf, explanationOf, type ComposeBody, type Proposal } from './composition.ts';
import { offerOf, type Offer } from './offer.ts';
import { proposeByRules } from './rules.ts';

export interface ComposeParts extends PlanParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly gateway: Pick<Gateway, 'complete' | 'mintTaskToken' | 'revokeTaskTokens' | 'hasModel'>;
  /** For one answer of the model; a composition asks at most twice. */
  readonly answerMs: number;
}

/** A draft that may be run as it stands, with what it would come to. */
export interface Composition {
  readonly id: string;
  readonly source: 'model' | 'rules';
  readonly draft: WorkflowBody;
  readonly plan: WorkflowPlan;
  readonly explanation: string;
  readonly warnings: readonly string[];
  readonly place: Place;
}

interface Work {
  readonly body: ComposeBody;
  readonly offer: Offer;
  /** Checks a proposal as any submission is checked. */
  readonly accept: (given: Proposal) => Promise<WorkflowBody>;
}
interface Drafted {
  readonly proposal: Proposal;
  readonly draft: WorkflowBody;
}

/**
 * Turns a goal into a draft; nothing is stored of it and nothing runs.
 *
 * A model is asked, once more with the reason where its draft is refused; where it fails or there is none, fixed rules
 * make the draft, and `source` and `warnings` say so.
 * Errors   what a submission answers: for the workspace, agents and model that were asked for, and for a draft of the
 *          rules that is not allowed.
 */
export async function compose(
  parts: ComposeParts,
  caller: Caller,
  body: ComposeBody,
  id: string,
  requestId: string,
): Promise<Composition> {
  const placeOf = findPlaces(parts, caller, requestId);
  const place = await placeOf(body.constraints.workspace_id);
  const { workspace, bounds } = place;
  const { model } = choose(bounds, { model: body.constraints.model });
  const offer = offerOf(bounds, body.agents);
  const accept = async (given: Proposal): Promise<WorkflowBody> => {
    const draft = draftOf(given, offer, body.constraints, workspace.id);
    await checkWorkflowIn({ bounds: parts.bounds }, placeOf, draft);
    return draft;
  };
  const work: Work = { body, offer, accept };
  const identity: TaskIdentity = {
    ...{ taskId: id, attempt: 1, model, ownerId: caller.actor.id },
    ...{ workspaceId: workspace.id, organizationId: workspace.organizationId },
    ...(bounds.allowedModels === null ? {} : { allowedModels: bounds.allowedModels }),
  };
  const fromModel = (await parts.gateway.hasModel(identity))
    ? await withModel(parts, identity, (ask) => askForDraft(ask, work))
    : 'No model is configured.';
  const isByModel = typeof fromModel !== 'string';
  const { proposal, draft } = isByModel ? fromModel : await byRules(work);
  const plan = await planWorkflow(parts, caller, draft, requestId);
  return {
    ...{ id, draft, plan, place, source: isByModel ? 'model' : 'rules' },
    explanation: explanationOf(proposal),
    warnings: [
      ...(isByModel ? [] : [`The draft was made by rules: ${fromModel}`]),
      ...warningsOf(body, offer, draft, plan.estimate),
    ],
  };
}

/** The model's draft, or why there is none. */
async function askForDraft(ask: AskModel, { body, offer, accept }: Work): Promise<Drafted | string> {
  const question = { goal: body.goal, offer, constraints: body.constraints };
  const first = await ask(question);
  if ('failure' in first) return first.failure;
  const taken = await takenOr(first.proposal, accept);
  if (typeof taken !== 'string') return taken;
  const second = await ask({ ...question, earlier: { proposal: first.proposal, objection: taken } });
  if ('failure' in second) return second.failure;
  return takenOr(second.proposal, accept);
}

/** A proposal that may be run, or why it may not. Faults that are not the proposal's are thrown on. */
async function takenOr(proposal: Proposal, accept: Work['accept']): Promise<Drafted | string> {
  try {
    return { proposal, draft: await accept(proposal) };
  } catch (error) {
    const { kind, message } = asServiceError(error);
    if (!(error instanceof ServiceError) || !['invalid', 'unprocessable'].includes(kind)) throw error;
    return message;
  }
}

async function byRules({ body, offer, accept }: Work): Promise<Drafted> {
  const proposal = proposeByRules(body.goal, offer, body.constraints);
  return { proposal, draft: await accept(proposal) };
}

function warningsOf(
  { constraints: { max_cost_micro_usd: most } }: ComposeBody,
  offer: Offer,
  draft: WorkflowBody,
  { cost_micro_usd: cost }: Estimate,
): readonly string[] {
  const changing = draft.steps.filter((step) =>
    offer.some(({ agent, task, changes }) => changes && agent === step.agent && task === step.task),
  );
  return [
    ...changing.map(({ id }) => `Step ${id} changes things outside the workspace, and nobody is asked while it does.`),
    ...(most === undefined || cost === null || cost.high <= most
      ? []
      : [`It may cost up to ${cost.high} micro-USD, and ${most} were the most.`]),
    ...(most === undefined || cost !== null
      ? []
      : [`Whether it stays below ${most} micro-USD is not known: see the reason in its estimate.`]),
  ];
}
