import type { Agent } from '../../modules/contract.ts';
import { ServiceError } from '../platform/errors.ts';

/** One thing an agent can be asked to do, with the prompt it stands for when the caller writes none. */
export interface Action {
  readonly name: string;
  readonly prompt: string;
}

/** Prompts of the shipped actions. `{{…}}` marks come from the task's payload. */
const openCodeActions: readonly Action[] = [
  {
    name: 'generate_code',
    prompt: 'Write the {{language}} code this repository needs next. Keep to its style and add a test.',
  },
  { name: 'generate_api', prompt: 'Add the API endpoint this repository needs. Keep to its style and add a test.' },
  {
    name: 'generate_ui',
    prompt: 'Add the user interface for the API of this repository. Keep to its style and add a test.',
  },
  { name: 'fix_tests', prompt: 'Run the tests of this repository, find why they fail, and mend the cause.' },
];

export interface RegisteredAgent extends Agent {
  readonly actions: readonly Action[];
}

export interface Registry {
  readonly agents: readonly RegisteredAgent[];
  /** Throws `unprocessable` naming what exists. */
  agent(name: string): RegisteredAgent;
  /** The action of `agent`, or `unprocessable` with the list. */
  action(agent: string, name: string): Action;
}

/** The agents of this deployment. `agentzero` runs workflows and takes no task directly. */
export function makeRegistry(): Registry {
  const agents = [makeAgent('opencode', openCodeActions), makeAgent('agentzero', [])];
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
      const found = registry.agent(agentName).actions.find((one) => one.name === name);
      if (!found)
        throw unknownAction(
          agentName,
          name,
          registry.agent(agentName).actions.map((one) => one.name),
        );
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

/** Fills `{{key}}` from `values`; what is not given becomes an empty string. */
export const fillPrompt = (template: string, values: Readonly<Record<string, string>>): string =>
  template
    .replace(/\{\{(\w+)\}\}/g, (_whole, key: string) => values[key] ?? '')
    .replace(/ {2,}/g, ' ')
    .trim();

export const unknownAgent = (name: string, known: readonly string[]): ServiceError =>
  new ServiceError('unprocessable', 'agent_unknown', `No agent is called '${name}'. There are: ${known.join(', ')}.`);

const unknownAction = (agent: string, name: string, known: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'action_unknown',
    `Agent '${agent}' has no action '${name}'. ${known.length > 0 ? `It has: ${known.join(', ')}.` : 'It takes no task directly; submit a workflow.'}`,
  );
