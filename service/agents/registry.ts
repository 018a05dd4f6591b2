import type { Agent } from '../../modules/contract.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Action } from './action.ts';
import { catalogue } from './actions.ts';

export interface RegisteredAgent extends Agent {
  readonly actions: readonly Action[];
}

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

/** The agents of this deployment. `agentzero` runs workflows and takes no task directly. */
export function makeRegistry(actions: Readonly<Record<string, readonly Action[]>> = catalogue): Registry {
  const agents = Object.entries(actions).map(([name, list]) => makeAgent(name, list));
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
  return registry;
}

const makeAgent = (name: string, actions: readonly Action[]): RegisteredAgent => ({
  name: () => name,
  actions,
  supports: (task) => task.type === name && actions.some((one) => one.name === task.action),
});

const unknownAgent = (name: string, known: readonly string[]): ServiceError =>
  new ServiceError('unprocessable', 'agent_unknown', `No agent is called '${name}'. There are: ${known.join(', ')}.`);

const takesNoTask = 'takes no task directly; submit a workflow';

const unknownAction = (agent: string, name: string, known: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'action_unknown',
    `Agent '${agent}' has no action '${name}'. It ${known.length > 0 ? `has: ${known.join(', ')}` : takesNoTask}.`,
  );

function nobodySupports(
  { type, action }: { type?: string | undefined; action: string },
  agents: readonly RegisteredAgent[],
): ServiceError {
  const lists = agents.map((one) => ({
    path: one.name(),
    message: one.actions.length > 0 ? one.actions.map(({ name }) => name).join(', ') : takesNoTask,
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
