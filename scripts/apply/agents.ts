import { z } from 'zod';
import { catalogue } from '../../service/agents/actions.ts';
import { agentManifest } from '../../service/agents/agent-entry.ts';
import { agentTemplateManifest } from '../../service/agents/agent-template.ts';
import { limitBody } from '../../service/agents/work-limit.ts';
import { canonicalJson } from '../../service/platform/canonical.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import { parse } from '../../service/platform/http.ts';
import { ServiceRefusal } from '../service-client.ts';
import { withoutUnknown } from './left-out.ts';
import { isFields, type Fields, type Manifest } from './manifests.ts';
import { servicePath, stepWithDryRun, type Change, type Ground, type Plan, type Planner, type Step } from './plan.ts';

const { maxConcurrentTasks, quota, standby } = limitBody.shape;
const limitFields = { maxConcurrentTasks, quota, standby };

/** An entry as it may be applied: it may name a template, and carry the limits of its agent. */
const appliedAgent = agentManifest.extend({
  spec: agentManifest.shape.spec.extend({
    templateRef: z.strictObject({ name: z.string().min(1) }).optional(),
    ...limitFields,
  }),
});

export const planAgentTemplate: Planner = (manifest, ground) => {
  const { value, leftOut } = withoutUnknown(manifest.value, (given) =>
    parse(agentTemplateManifest, given, 'The agent template'),
  );
  const path = `/agent-templates/${manifest.name}`;
  return Promise.resolve({ manifest, leftOut, steps: [stepWithDryRun(ground, path, value)] });
};

export const planAgent: Planner = async (manifest, ground) => {
  const { value, leftOut } = withoutUnknown(manifest.value, (given) => parse(appliedAgent, given, 'The agent'));
  const { templateRef, maxConcurrentTasks, quota, standby, ...own } = specOf(value);
  const defaults = isFields(templateRef) ? await templateSpec(String(templateRef['name']), ground) : {};
  const body = { ...value, spec: { ...defaults, ...own } };
  parse(agentManifest, body, 'The agent, with what its template adds,');
  const steps = [stepWithDryRun(ground, `/registry/${manifest.name}`, body)];
  const limits = {
    ...(maxConcurrentTasks === undefined ? {} : { maxConcurrentTasks }),
    ...(quota === undefined ? {} : { quota }),
    ...(standby === undefined ? {} : { standby }),
  };
  if (Object.keys(limits).length === 0) return { manifest, leftOut, steps };
  if (manifest.name in catalogue)
    return { manifest, leftOut, steps: [...steps, limitStep(manifest.name, limits, ground)] };
  const unlimited = Object.keys(limits).map((field) => `spec.${field} (${noSuchAgent(manifest.name)})`);
  return { manifest, leftOut: [...leftOut, ...unlimited], steps };
};

const noSuchAgent = (name: string): string =>
  `limits hold for what does tasks, which ${name} does not: ${Object.keys(catalogue).join(', ')}`;

const specOf = (value: Fields): Fields => (isFields(value['spec']) ? value['spec'] : {});

/** Of a template that is applied with it, else of one that the service keeps. */
async function templateSpec(name: string, { call, query, manifests }: Ground): Promise<Fields> {
  const near = manifests.find((one) => one.kind === 'AgentTemplate' && one.name === name);
  if (near) {
    const known = withoutUnknown(near.value, (given) => parse(agentTemplateManifest, given, 'The agent template'));
    return specOf(known.value);
  }
  const found = await call('GET', servicePath(`/agent-templates/${encodeURIComponent(name)}`, query)).catch(
    (error: unknown) => {
      if (error instanceof ServiceRefusal && error.status === 404) return null;
      throw error;
    },
  );
  if (!isFields(found)) throw noTemplate(name);
  return specOf(found);
}

function limitStep(agent: string, limits: Fields, { call, query }: Ground): Step {
  const foresee = async (): Promise<Change> => {
    const answer = await call('GET', servicePath('/limits', query));
    const items = isFields(answer) && Array.isArray(answer['items']) ? (answer['items'] as Fields[]) : [];
    const before = items.find((one) => one['kind'] === 'agent' && one['target'] === agent);
    if (!before) return 'created';
    const { maxConcurrentTasks, quota, standby } = before;
    return canonicalJson({ maxConcurrentTasks, quota, standby }) === canonicalJson(limits) ? 'unchanged' : 'changed';
  };
  return { path: servicePath(`/limits/agent/${agent}`, query), body: limits, foresee };
}

const registry = z.strictObject({
  apiVersion: z.string(),
  kind: z.literal('Registry'),
  metadata: z.strictObject({ name: z.string() }),
  spec: z.strictObject({
    agents: z.array(z.object({ name: z.string(), spec: z.record(z.string(), z.unknown()) })).min(1, 'names no agent'),
  }),
});

/** A Registry is a list of agents, each as it would stand by itself. */
export const planRegistry: Planner = async (manifest, ground) => {
  const { value, leftOut } = withoutUnknown(manifest.value, (given) => parse(registry, given, 'The registry'));
  const { agents } = parse(registry, value, 'The registry').spec;
  const plans: Plan[] = [];
  for (const [position, { name, spec }] of agents.entries()) {
    const { apiVersion } = manifest;
    const agent: Manifest = {
      ...manifest,
      kind: 'Agent',
      name,
      value: { apiVersion, kind: 'Agent', metadata: { name }, spec },
    };
    const plan = await planAgent(agent, ground);
    plans.push({ ...plan, leftOut: plan.leftOut.map((path) => `spec.agents.${position}.${path}`) });
  }
  const inside = plans.flatMap((plan) => plan.leftOut);
  return { manifest, leftOut: [...leftOut, ...inside], steps: plans.flatMap((plan) => plan.steps) };
};

const noTemplate = (name: string): ServiceError =>
  new ServiceError(
    'unprocessable',
    'agent_template_unknown',
    `spec.templateRef: there is no AgentTemplate ${name}, neither here nor in the service. Apply it too.`,
  );
