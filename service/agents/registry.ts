import { ServiceError } from '../platform/errors.ts';
import { inSpan } from '../platform/tracing.ts';
import type { Action } from './action.ts';
import { describeAgent, type RegisteredAgent } from './agent.ts';
import { catalogue } from './actions.ts';

export interface Registry {
  readonly agents: readonly RegisteredAgent[];
  /** Throws `unprocessable` naming what exists. */
  agent(name: string): RegisteredAgent;
  /** The action of `agent`, or `unprocessable` with the list. */
  action(agent: string, name: string): Action;
  /**
   * The agent that supports a task; without a type the one that has the action. Throws `unprocessable` listing every
   * agent with its actions.
   */
  route(task: { readonly type?: string | undefined; readonly action: string }): RegisteredAgent;
}

/** The agents of this deployment, by the actions of the catalogue. */
export function makeRegistry(actions: Readonly<Record<string, readonly Action[]>> = catalogue): Registry {
  const agents = Object.entries(actions).map(([name, list]) => describeAgent(name, list));
  const registry: Registry = {
    agents,
    agent(name) {
      const found = agents.find((one) => one.name() === name);
      if (!found)
        throw unknownAgent(
          name,
          agents.map((one) => one.name()),
        );
      return found;
    },
    action(agentName, name) {
      const { actions: known } = registry.agent(agentName);
      const found = known.find((one) => one.name === name);
      if (!found)
        throw unknownAction(
          agentName,
          name,
          known.map((one) => one.name),
        );
      return found;
    },
    route({ type, action }) {
      const found = agents.find((one) => one.supports({ type: type ?? one.name(), action }));
      if (!found) throw nobodySupports({ type, action }, agents);
      return found;
    },
  };
  return {
    ...registry,
    // Only what exists is named in a span: what does not may be anything that a caller wrote.
    action: (agent, name) =>
      inSpan('registry', {}, (span) => {
        const found = registry.action(agent, name);
        span?.setAttributes({ agent, action: found.name });
        return found;
      }),
    route: (task) =>
      inSpan('registry', {}, (span) => {
        const found = registry.route(task);
        span?.setAttribute('agent', found.name());
        return found;
      }),
  };
}

const unknownAgent = (name: string, known: readonly string[]): ServiceError =>
  new ServiceError('unprocessable', 'agent_unknown', `No agent is called '${name}'. There are: ${known.join(', ')}.`);

const unknownAction = (agent: string, name: string, known: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'action_unknown',
    `Agent '${agent}' has no action '${name}'. It has: ${known.join(', ')}.`,
  );

function nobodySupports(
  { type, action }: { type?: string | undefined; action: string },
  agents: readonly RegisteredAgent[],
): ServiceError {
  const lists = agents.map((one) => ({
    path: one.name(),
    message: one.actions.map(({ name }) => name).join(', '),
  }));
  return new ServiceError(
    'unprocessable',
    'no_agent_supports',
    `No agent supports action '${action}'${type === undefined ? '' : ` of type '${type}'`}. There are: ${lists
      .map(({ path, message }) => `${path} (${message})`)
      .join('; ')}.`,
    { errors: lists },
  );
}
