import type { TouchedObject } from '../../../modules/contract.ts';
import { AgentFailure } from '../agent-failure.ts';
import type { Cluster, ClusterAnswer } from './cluster.ts';
import type { KubernetesObject } from './manifest.ts';

/** The objects of one cluster by their kind. */
export interface Objects {
  read(object: KubernetesObject): Promise<Readonly<Record<string, unknown>> | null>;
  /** Asks the cluster whether it would take the object; nothing changes. */
  check(object: KubernetesObject): Promise<void>;
  apply(object: KubernetesObject): Promise<TouchedObject>;
  /** Of what this agent applied only. */
  delete(object: KubernetesObject): Promise<TouchedObject>;
}

const fieldManager = 'outrigger';

export function makeObjects(cluster: Cluster, signal: AbortSignal): Objects {
  const paths = new Map<string, Promise<string>>();

  /** The folder of a kind, as the cluster's own discovery names it. */
  function folderOf({ apiVersion, kind }: KubernetesObject): Promise<string> {
    const key = `${apiVersion}/${kind}`;
    const folder = paths.get(key) ?? discover(cluster, apiVersion, kind, signal);
    paths.set(key, folder);
    return folder;
  }
  async function pathOf(object: KubernetesObject): Promise<string> {
    const { name, namespace } = object.metadata;
    return (await folderOf(object)).replace('{namespace}', encodeURIComponent(namespace)) + encodeURIComponent(name);
  }
  async function patch(object: KubernetesObject, isDry: boolean): Promise<ClusterAnswer> {
    const query = `?fieldManager=${fieldManager}&fieldValidation=Strict${isDry ? '&dryRun=All' : ''}`;
    const call = { method: 'PATCH' as const, path: (await pathOf(object)) + query, body: object };
    return accepted(object, await cluster.call(call, signal));
  }
  const touched = (object: KubernetesObject, result: TouchedObject['result']): TouchedObject => ({
    kind: object.kind,
    namespace: object.metadata.namespace,
    name: object.metadata.name,
    result,
  });

  const objects: Objects = {
    async read(object) {
      const answer = await cluster.call({ method: 'GET', path: await pathOf(object) }, signal);
      return answer.status === 404 ? null : accepted(object, answer).body;
    },
    async check(object) {
      await patch(object, true);
    },
    async apply(object) {
      const before = await objects.read(object);
      const { body } = await patch(object, false);
      if (before === null) return touched(object, 'created');
      return touched(object, versionOf(before) === versionOf(body) ? 'unchanged' : 'changed');
    },
    async delete(object) {
      const before = await objects.read(object);
      if (before === null) return touched(object, 'unchanged');
      if (!isOurs(before)) throw notOurs(object);
      const path = `${await pathOf(object)}?propagationPolicy=Background`;
      const answer = await cluster.call({ method: 'DELETE', path, body: onlyThis(before) }, signal);
      if (answer.status === 404) return touched(object, 'unchanged');
      accepted(object, answer);
      return touched(object, 'deleted');
    },
  };
  return objects;
}

const metadataOf = (body: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  (body['metadata'] ?? {}) as Readonly<Record<string, unknown>>;

/** Whether the agent applied it, or a part of it. */
const isOurs = (body: Readonly<Record<string, unknown>>): boolean =>
  ((metadataOf(body)['managedFields'] ?? []) as readonly { manager?: string; operation?: string }[]).some(
    ({ manager, operation }) => manager === fieldManager && operation === 'Apply',
  );

/** Another object may have taken the name meanwhile. */
const onlyThis = (body: Readonly<Record<string, unknown>>): unknown => ({
  apiVersion: 'v1',
  kind: 'DeleteOptions',
  preconditions: { uid: metadataOf(body)['uid'] },
});

const versionOf = (body: Readonly<Record<string, unknown>>): unknown => metadataOf(body)['resourceVersion'];

async function discover(cluster: Cluster, apiVersion: string, kind: string, signal: AbortSignal): Promise<string> {
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const { status, body } = await cluster.call({ method: 'GET', path: base }, signal);
  const resources = (body['resources'] ?? []) as { name: string; kind: string; namespaced: boolean }[];
  const found = resources.find((one) => one.kind === kind && !one.name.includes('/'));
  if (status === 401 || status === 403) throw refused(`${apiVersion} ${kind}`, status, body);
  if (!found) throw new AgentFailure('ContextError', `The cluster knows no ${kind} of ${apiVersion}.`);
  if (!found.namespaced)
    throw new AgentFailure('ContextError', `${kind} belongs to no namespace, so it is not allowed.`);
  return `${base}/namespaces/{namespace}/${found.name}/`;
}

function accepted({ kind, metadata }: KubernetesObject, answer: ClusterAnswer): ClusterAnswer {
  if (answer.status === 409) throw conflict(`${kind} ${metadata.name}`, messageOf(answer.body));
  if (answer.status >= 400) throw refused(`${kind} ${metadata.name}`, answer.status, answer.body);
  return answer;
}

const refused = (what: string, status: number, body: Readonly<Record<string, unknown>>): AgentFailure =>
  new AgentFailure('ContextError', `The cluster refused ${what} (${status}): ${messageOf(body)}`);

/** The cluster's own words name the other manager and its fields. */
const conflict = (what: string, words: string): AgentFailure =>
  new AgentFailure(
    'ContextError',
    `${what} is also managed by somebody else: ${words}. Leave those fields to them, or have them give them up.`,
  );

const notOurs = ({ kind, metadata }: KubernetesObject): AgentFailure =>
  new AgentFailure(
    'ContextError',
    `${kind} ${metadata.name} was not applied by this agent, so it is not deleted. Have whoever made it delete it.`,
  );

const messageOf = (body: Readonly<Record<string, unknown>>): string =>
  typeof body['message'] === 'string' ? body['message'].slice(0, 500) : 'it did not say why';
