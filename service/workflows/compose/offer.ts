import { promptlessAgents } from '../../agents/actions.ts';
import { ServiceError } from '../../platform/errors.ts';
import type { WorkBounds } from '../../tasks/work-bounds.ts';

/** An action that a draft may use. */
export interface Offered {
  readonly agent: string;
  readonly task: string;
  readonly summary: string;
  readonly takesPrompt: boolean;
  /** It changes something outside the workspace without asking. */
  readonly changes: boolean;
}
export type Offer = readonly Offered[];

/**
 * What may be used for somebody's goal in one workspace, of the agents they name.
 *
 * Left out is what the organization has turned off, what needs params that no goal gives, and what changes things outside where that is not allowed.
 * Errors  `unprocessable` for an agent that does not exist, and where nothing is left.
 */
export function offerOf(bounds: WorkBounds, agents: readonly string[] | undefined): Offer {
  const named = agents?.map((name) => bounds.registry.agent(name)) ?? bounds.registry.agents;
  const on = named.filter((agent) => !bounds.agentsOff?.includes(agent.name()));
  const offer = [...new Set(on)].flatMap((agent) =>
    agent.actions
      .filter(({ changes }) => changes !== true || bounds.maxProfile === 'trusted')
      .filter(({ params }) => params === undefined || params.safeParse({}).success)
      .map(({ name, summary, changes }) => ({
        ...{ agent: agent.name(), task: name, summary },
        takesPrompt: !promptlessAgents.includes(agent.name()),
        changes: changes === true,
      })),
  );
  if (offer.length === 0) throw nothingOffered(agents ?? []);
  return offer;
}

const nothingOffered = (agents: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'nothing_to_compose',
    `None of ${agents.join(', ') || 'the agents'} has an action that a draft could use in this workspace. Name other agents, or leave agents out.`,
  );
