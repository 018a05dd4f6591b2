import { serviceAgents } from '../agents/actions.ts';
import type { Grant } from '../broker/grant.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import { decideStart } from '../coder/workspace.ts';
import type { GraphStep } from './graph.ts';
import type { NewStep } from './workflow-store.ts';

/** Steps by how many must end before each, and the longest chain of them; of equals the one written first. */
export function shapeOf(steps: readonly GraphStep[]): {
  readonly levels: readonly (readonly string[])[];
  readonly critical_path: readonly string[];
} {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const paths = new Map<string, readonly string[]>();
  // The graph has no cycle, so each round finds at least one step whose dependencies are all known.
  while (paths.size < steps.length)
    for (const { id, dependsOn } of byId.values()) {
      const before = dependsOn.map((needed) => paths.get(needed));
      if (paths.has(id) || before.includes(undefined)) continue;
      paths.set(id, [...longest(before as readonly (readonly string[])[]), id]);
    }
  const levels: string[][] = [];
  for (const { id } of steps) (levels[(paths.get(id)?.length ?? 1) - 1] ??= []).push(id);
  return { levels, critical_path: longest(steps.map(({ id }) => paths.get(id) ?? [])) };
}

const longest = (paths: readonly (readonly string[])[]): readonly string[] =>
  paths.reduce((best, path) => (path.length > best.length ? path : best), []);

/** Which agents work, at what, and where. */
export function agentsOf(steps: readonly { readonly agent: string; readonly task: string }[]) {
  const names = [...new Set(steps.map(({ agent }) => agent))];
  return names.map((name) => {
    const own = steps.filter(({ agent }) => agent === name);
    return {
      name,
      runs_in: serviceAgents.includes(name) ? 'service' : 'workspace',
      actions: [...new Set(own.map(({ task }) => task))],
      steps: own.length,
    };
  });
}

/** Each workspace with what begins in it: nothing where it runs, a build where it is stopped, a refusal else. */
export function workspacesOf(steps: readonly NewStep[]) {
  const all = new Map(steps.map(({ workspace }) => [workspace.id, workspace]));
  return [...all.values()].map((workspace) => ({
    id: workspace.id,
    name: workspace.name,
    build_status: workspace.status,
    ...startOf(workspace),
    steps: steps.filter((step) => step.workspace.id === workspace.id).map(({ stepId }) => stepId),
  }));
}

function startOf(workspace: CoderWorkspace): { readonly start: string; readonly message: string | null } {
  const decision = decideStart(workspace);
  return typeof decision === 'string'
    ? { start: decision, message: null }
    : { start: 'refused', message: decision.refused };
}

/** A secret by its names alone. `agent` is the entry that holds it, null for the service's own setting. */
export interface TouchedSecret {
  readonly use: 'agent' | 'model' | 'git';
  readonly agent: string | null;
  readonly credential: string | null;
  readonly env: string;
  /** The forge it is for. */
  readonly host: string | null;
}

export const gitSecret = ({ repository, credential }: Grant): TouchedSecret => ({
  use: 'git',
  agent: credential.agent,
  credential: credential.name,
  env: credential.env,
  host: repository.host,
});

/** Each once. */
export const distinctSecrets = (secrets: readonly TouchedSecret[]): readonly TouchedSecret[] => [
  ...new Map(secrets.map((secret) => [JSON.stringify(secret), secret])).values(),
];
