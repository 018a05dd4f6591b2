import type { Action } from './action.ts';
import { kubernetesActions } from './kubernetes/kubernetes-agent.ts';

const style = 'Keep to the style of this repository, change nothing else, and add a test.';

/** The catalogue: every action that is shipped, by the agent that does it. */
export const catalogue: Readonly<Record<string, readonly Action[]>> = {
  opencode: [
    {
      name: 'generate_code',
      summary: 'Writes code.',
      prompt: `Write the {{language}} code this repository needs next. ${style}`,
    },
    {
      name: 'generate_api',
      summary: 'Adds an endpoint to an API.',
      prompt: `Add the {{language}} API endpoint this repository needs. ${style}`,
    },
    {
      name: 'generate_ui',
      summary: 'Adds a user interface.',
      prompt: `Add the {{language}} user interface for the API of this repository. ${style}`,
    },
    {
      name: 'fix_tests',
      summary: 'Makes failing tests pass by mending the cause.',
      prompt: 'Run the tests of this repository, find why they fail, and mend the cause. Do not weaken a test.',
    },
    {
      name: 'write_tests',
      summary: 'Adds tests to code that has none.',
      prompt: 'Add tests for the {{language}} code of this repository that has none. Change no other code.',
    },
    {
      name: 'review_code',
      summary: 'Reads code and says what is wrong with it, without changing it.',
      prompt: 'Read the {{language}} code of this repository and name its faults, the worst first. Change no file.',
    },
  ],
  agentzero: [],
  kubernetes: kubernetesActions,
};

/** Agents that work in the service itself and need no bridge. */
export const serviceAgents: readonly string[] = ['kubernetes'];
