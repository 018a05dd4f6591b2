import { z } from 'zod';
import type { Agent, Task, TaskResult, TouchedObject } from '../../../modules/contract.ts';
import { pause } from '../../platform/pause.ts';
import type { Action } from '../action.ts';
import { describeAgent } from '../agent.ts';
import { AgentFailure } from '../agent-failure.ts';
import type { CommittedFiles } from '../committed-files.ts';
import type { Cluster } from './cluster.ts';
import { readKubeconfig, type ClusterAccess } from './kubeconfig.ts';
import { versionOf } from './kinds.ts';
import {
  apiVersionText,
  kindText,
  mustBeAllowed,
  nameText,
  readManifest,
  type KubernetesBounds,
  type KubernetesObject,
} from './manifest.ts';
import { makeObjects, type Objects } from './objects.ts';
import { isRolledOut, rolloutKinds } from './rollout.ts';
import { shownOf } from './shown.ts';

const manifestParams = z
  .strictObject({
    manifest: z
      .string()
      .refine((text) => Buffer.byteLength(text) <= 512 * 1024, 'the manifest is larger than 512 KiB')
      .optional(),
    /** A file of the repository, as committed; with a / at its end a folder. */
    path: z.string().min(1).max(1_000).optional(),
    namespace: nameText.optional(),
  })
  .refine(({ manifest, path }) => manifest === undefined || path === undefined, 'give manifest or path, not both');
const objectParams = z.strictObject({
  kind: kindText,
  name: nameText,
  namespace: nameText.optional(),
  api_version: apiVersionText.optional(),
});

const rolloutParams = objectParams.extend({ kind: z.enum(rolloutKinds) });

/** What the agent can be asked for: a closed list. */
export const kubernetesActions: readonly Action[] = [
  {
    name: 'apply_manifest',
    summary: 'Applies a manifest: the cluster checks all of it first, then takes it.',
    prompt: 'Apply the manifest to the cluster.',
    params: manifestParams,
    changes: true,
  },
  { name: 'get', summary: 'Reads an object.', prompt: 'Read the object.', params: objectParams },
  {
    name: 'rollout_status',
    summary: 'Waits until a workload runs as it should.',
    prompt: 'Wait until the workload is rolled out.',
    params: rolloutParams,
  },
  {
    name: 'delete',
    summary: 'Deletes an object that this agent applied.',
    prompt: 'Delete the object.',
    params: objectParams,
    changes: true,
  },
];

export interface KubernetesParts {
  /** The kubeconfig of an organization, or null where its admin gave none. */
  readonly kubeconfigOf: (organizationId: string) => Promise<string | null>;
  readonly connect: (access: ClusterAccess) => Cluster;
  readonly bounds: KubernetesBounds;
  readonly files: CommittedFiles;
  /** How often a rollout is looked at. */
  readonly lookEveryMs: number;
}

interface Act {
  readonly task: Task;
  readonly files: CommittedFiles;
  readonly objects: Objects;
  readonly namespace: string;
  readonly bounds: KubernetesBounds;
  readonly lookEveryMs: number;
  readonly signal: AbortSignal;
}

/** Works on a cluster with the kubeconfig of the submitter's organization, which never reaches a workspace. */
export const makeKubernetesAgent = (parts: KubernetesParts): Agent => ({
  ...describeAgent('kubernetes', kubernetesActions),
  async execute(task, { signal }) {
    const text = await parts.kubeconfigOf(task.organizationId);
    if (text === null) throw noKubeconfig();
    const access = readKubeconfig(text);
    const objects = makeObjects(parts.connect(access), signal);
    const { bounds, files, lookEveryMs } = parts;
    return run({ task, files, objects, namespace: access.namespace, bounds, lookEveryMs, signal });
  },
});

function run(act: Act): Promise<TaskResult> {
  const { action, params } = act.task;
  switch (action) {
    case 'apply_manifest':
      return applyManifest(manifestParams.parse(params), act);
    case 'get':
      return get(objectOf(params, act), act);
    case 'rollout_status':
      return rollout(objectOf(rolloutParams.parse(params), act), act);
    case 'delete':
      return remove(objectOf(params, act), act);
    default:
      throw new AgentFailure('AgentError', `The agent has no action '${action}'.`);
  }
}

/** Nothing is applied unless the cluster would take all of it. */
async function applyManifest(params: z.output<typeof manifestParams>, act: Act): Promise<TaskResult> {
  const text = params.manifest ?? (await committedManifest(params.path ?? usualFolder, act));
  const objects = readManifest(text, params.namespace ?? act.namespace, act.bounds);
  for (const object of objects) await act.objects.check(object);
  const touched: TouchedObject[] = [];
  for (const object of objects) {
    try {
      touched.push(await act.objects.apply(object));
    } catch (error) {
      throw error instanceof AgentFailure ? error.after(touched) : error;
    }
  }
  return { output: linesOf(touched), objects: touched };
}

/** Where a manifest is looked for that nobody named. */
const usualFolder = 'deploy/';
const mostFiles = 50;
const manifestBytes = 512 * 1024;

/** The files of a path, one after the other; of a folder those that are YAML, by name. */
async function committedManifest(path: string, { task, files, signal }: Act): Promise<string> {
  const isFolder = path.endsWith('/');
  const folder = path.replace(/\/+$/, '');
  const listed = isFolder ? await files.list(task, folder, signal) : [path];
  const found = isFolder ? listed.filter((one) => /\.ya?ml$/.test(one)).sort() : listed;
  if (found.length === 0) throw noManifest(folder);
  if (found.length > mostFiles)
    throw tooMuch(`${folder} holds ${found.length} manifests; at most ${mostFiles} go at once`);
  const texts: string[] = [];
  for (const one of found) texts.push(await files.read(task, one, signal));
  const text = texts.join('\n---\n');
  if (Buffer.byteLength(text) > manifestBytes) throw tooMuch('the manifests are larger than 512 KiB together');
  return text;
}

function objectOf(params: unknown, { namespace, bounds }: Act): KubernetesObject {
  const given = objectParams.parse(params);
  const apiVersion = given.api_version ?? versionOf(given.kind);
  if (apiVersion === undefined) throw new AgentFailure('ContextError', `Give api_version for ${given.kind}.`);
  const metadata = { name: given.name, namespace: given.namespace ?? namespace };
  const object = { apiVersion, kind: given.kind, metadata };
  mustBeAllowed(object, bounds);
  return object;
}

async function mustBeThere(object: KubernetesObject, { objects }: Act): Promise<Readonly<Record<string, unknown>>> {
  const found = await objects.read(object);
  if (found) return found;
  const { name, namespace } = object.metadata;
  throw new AgentFailure('ContextError', `There is no ${object.kind} ${name} in namespace ${namespace}.`);
}

async function get(object: KubernetesObject, act: Act): Promise<TaskResult> {
  const shown = shownOf(await mustBeThere(object, act));
  return { output: JSON.stringify(shown, null, 2), objects: [touchedOf(object, 'read')] };
}

async function rollout(object: KubernetesObject, act: Act): Promise<TaskResult> {
  while (!isRolledOut(object.kind, await mustBeThere(object, act))) {
    await pause(act.lookEveryMs, act.signal);
    if (act.signal.aborted) throw new AgentFailure('UserStopped', 'Stopped while it waited.');
  }
  const { name } = object.metadata;
  return { output: `${object.kind} ${name} is rolled out.`, objects: [touchedOf(object, 'read')] };
}

async function remove(object: KubernetesObject, { objects }: Act): Promise<TaskResult> {
  const touched = await objects.delete(object);
  return { output: linesOf([touched]), objects: [touched] };
}

const touchedOf = ({ kind, metadata }: KubernetesObject, result: TouchedObject['result']): TouchedObject => ({
  kind,
  namespace: metadata.namespace,
  name: metadata.name,
  result,
});

const linesOf = (objects: readonly TouchedObject[]): string =>
  objects.map(({ kind, namespace, name, result }) => `${kind} ${namespace}/${name}: ${result}`).join('\n');

const noKubeconfig = (): AgentFailure =>
  new AgentFailure(
    'ContextError',
    "This organization gave no kubeconfig. An admin writes it as a secret and names it in agent 'kubernetes' as KUBECONFIG.",
  );

const noManifest = (folder: string): AgentFailure =>
  new AgentFailure(
    'ContextError',
    `There is no manifest to apply: no YAML file lies in ${folder}/ of what is committed. Commit one there, or give params.manifest or params.path.`,
  );

const tooMuch = (why: string): AgentFailure =>
  new AgentFailure('ContextError', `The manifest cannot be used: ${why}. Split it.`);
