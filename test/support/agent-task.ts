import type { Task } from '../../modules/contract.ts';

/** A task as an agent gets it. */
export const taskOf = (agent: string, action: string, params: unknown, change: Partial<Task> = {}): Task => ({
  id: '019aa000-0000-7000-8000-000000000001',
  agent,
  type: agent,
  action,
  prompt: '',
  params,
  ownerId: '019aa000-0000-7000-8000-000000000002',
  organizationId: '019aa000-0000-7000-8000-000000000003',
  workspaceId: '019aa000-0000-7000-8000-000000000004',
  baseCommits: [],
  ...change,
});
