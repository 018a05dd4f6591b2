import { readManifest } from '../../service/workflows/definitions/definition.ts';
import { planAgent, planAgentTemplate, planRegistry } from './agents.ts';
import { planCronTask, planTask } from './tasks.ts';
import { stepWithDryRun, type Planner } from './plan.ts';

const kubeopencode = 'kubeopencode.io/v1alpha1';

/** Ours: what is unknown in it is a mistake, and refused. */
const planWorkflow: Planner = (manifest, ground) => {
  readManifest(manifest.value, manifest.name);
  const step = stepWithDryRun(ground, `/definitions/${manifest.name}`, manifest.value);
  return Promise.resolve({ manifest, leftOut: [], steps: [step] });
};

/** Every kind that can be applied, in the order in which they are sent. */
export const kinds: readonly { readonly kind: string; readonly apiVersion: string; readonly plan: Planner }[] = [
  { kind: 'AgentTemplate', apiVersion: kubeopencode, plan: planAgentTemplate },
  { kind: 'Agent', apiVersion: kubeopencode, plan: planAgent },
  { kind: 'Registry', apiVersion: kubeopencode, plan: planRegistry },
  { kind: 'Workflow', apiVersion: 'outrigger/v1', plan: planWorkflow },
  { kind: 'CronTask', apiVersion: kubeopencode, plan: planCronTask },
  { kind: 'Task', apiVersion: kubeopencode, plan: planTask },
];
