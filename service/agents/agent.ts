import type { Agent } from '../../modules/contract.ts';
import type { Action } from './action.ts';

/** An agent as everybody may know it: its name, and its actions with what they take. */
export interface RegisteredAgent extends Omit<Agent, 'execute'> {
  readonly actions: readonly Action[];
}

/** An agent that takes the tasks of its own type whose action is one of these. */
export const describeAgent = (name: string, actions: readonly Action[]): RegisteredAgent => ({
  name: () => name,
  actions,
  supports: (task) => task.type === name && actions.some((one) => one.name === task.action),
});
