import { z } from 'zod';
import { readOne } from './containers.ts';
import type { RunProgram } from '../program.ts';
import { bytesOf } from './quantity.ts';

/** What the doctor reads of a cluster, with the rights that the caller's kubectl has. */

const record = z.record(z.string(), z.string());
const runtimeClass = z.object({
  metadata: z.object({ name: z.string() }),
  handler: z.string(),
  overhead: z.object({ podFixed: record.optional() }).optional(),
  scheduling: z.object({ nodeSelector: record.optional() }).optional(),
});
export type RuntimeClass = z.infer<typeof runtimeClass>;

const node = z.object({
  metadata: z.object({ name: z.string(), labels: record.default({}) }),
  status: z.object({
    conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]),
    nodeInfo: z.object({ kernelVersion: z.string() }),
  }),
});

export interface KataNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kernel: string;
  readonly isReady: boolean;
}

const pod = z.object({
  metadata: z.object({ name: z.string() }),
  spec: z.object({
    runtimeClassName: z.string().optional(),
    nodeName: z.string().optional(),
    containers: z.array(z.object({ resources: z.object({ limits: record.optional() }).optional() })),
    volumes: z
      .array(z.object({ name: z.string(), emptyDir: z.object({ sizeLimit: z.string().optional() }).nullish() }))
      .default([]),
  }),
  status: z.object({ phase: z.string().default('Unknown') }),
});

export interface KataPod {
  readonly name: string;
  readonly phase: string;
  /** Bytes of each container; null where it has no limit. */
  readonly memoryLimits: readonly (number | null)[];
  readonly emptyDirs: readonly { readonly name: string; readonly bytes: number | null }[];
}

const event = z.object({
  reason: z.string().nullish(),
  message: z.string().nullish(),
  involvedObject: z.object({ name: z.string().nullish() }),
  source: z.object({ host: z.string().optional() }).optional(),
});

export interface KataEvent {
  readonly reason: string;
  readonly message: string;
  readonly pod: string;
  readonly host: string;
}

export interface Cluster {
  readonly classes: readonly RuntimeClass[];
  readonly nodes: readonly KataNode[];
  /** Of the namespace and the class. */
  readonly pods: readonly KataPod[];
  readonly events: readonly KataEvent[];
}

/** Why the cluster could not be read. */
export interface Unread {
  readonly what: string;
  readonly error: string;
  readonly isMissing: boolean;
}

export async function readCluster(
  kubectl: RunProgram,
  namespace: string,
  className: string,
): Promise<Cluster | Unread> {
  const read = async <Shape extends z.ZodType>(
    shape: Shape,
    ...words: string[]
  ): Promise<readonly z.output<Shape>[] | Unread> => {
    const ran = await kubectl(['get', ...words, '-o', 'json']);
    const found = readOne(z.object({ items: z.array(shape) }), ran);
    return found?.items ?? { what: words[0] ?? '', error: ran.stderr || 'no JSON', isMissing: ran.isMissing };
  };
  const classes = await read(runtimeClass, 'runtimeclasses');
  if ('error' in classes) return classes;
  const nodes = await read(node, 'nodes');
  if ('error' in nodes) return nodes;
  const pods = await read(pod, 'pods', '-n', namespace);
  if ('error' in pods) return pods;
  const events = await read(event, 'events', '-n', namespace);
  if ('error' in events) return events;
  return {
    classes,
    nodes: nodes.map(toNode),
    pods: pods.filter(({ spec }) => spec.runtimeClassName === className).map(toPod),
    events: events.map((one) => ({
      reason: one.reason ?? '',
      message: one.message ?? '',
      pod: one.involvedObject.name ?? '',
      host: one.source?.host ?? '',
    })),
  };
}

const toNode = ({ metadata, status }: z.infer<typeof node>): KataNode => ({
  name: metadata.name,
  labels: metadata.labels,
  kernel: status.nodeInfo.kernelVersion,
  isReady: status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
});

const toPod = ({ metadata, spec, status }: z.infer<typeof pod>): KataPod => ({
  name: metadata.name,
  phase: status.phase,
  memoryLimits: spec.containers.map(({ resources }) => bytesOrNull(resources?.limits?.['memory'])),
  emptyDirs: spec.volumes.flatMap(({ name, emptyDir }) =>
    emptyDir ? [{ name, bytes: bytesOrNull(emptyDir.sizeLimit) }] : [],
  ),
});

const bytesOrNull = (quantity: string | undefined): number | null =>
  quantity === undefined ? null : (bytesOf(quantity) ?? null);
