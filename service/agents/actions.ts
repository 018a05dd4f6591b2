import { z } from 'zod';
import type { Action } from './action.ts';
import { dockerActions } from './docker/docker-agent.ts';
import { kubernetesActions } from './kubernetes/kubernetes-agent.ts';
import { nixActions } from './nix/nix-actions.ts';

const style = 'Keep to the style of this repository, change nothing else, and add a test.';

/** What a workflow's own body says besides is checked when it begins: its room knows it. */
const nestedWorkflow = z.looseObject({
  name: z.string().trim().min(1).max(200),
  steps: z
    .array(z.looseObject({ id: z.string(), agent: z.string(), task: z.string() }))
    .min(1)
    .max(100),
});

const agentZeroActions: readonly Action[] = [
  {
    name: 'run_workflow',
    summary: 'Runs a workflow in the workspace of its task, and ends with it.',
    prompt: 'Run the workflow.',
    params: nestedWorkflow,
  },
];

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
  agentzero: agentZeroActions,
  kubernetes: kubernetesActions,
  docker: dockerActions,
  nix: nixActions,
};

/** What an organization must have given before an agent can work for it: the name of the credential in its entry. */
export const credentialNeeded: Readonly<Record<string, string>> = {
  kubernetes: 'KUBECONFIG',
  docker: 'DOCKER_HOST_CONFIG',
};

/** Agents that work in the service itself and need no bridge. */
export const serviceAgents: readonly string[] = ['agentzero', 'kubernetes', 'docker'];

/** Agents that do what their params say: they call no model, take no prompt and hold no conversation. */
export const promptlessAgents: readonly string[] = [...serviceAgents, 'nix'];

/** An action of the catalogue; undefined for one that an older version knew. */
export const actionOf = (agent: string, name: string): Action | undefined =>
  Object.hasOwn(catalogue, agent) ? catalogue[agent]?.find((one) => one.name === name) : undefined;
