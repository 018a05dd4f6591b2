import { blocksOf, certainBlocksOf, listOf, type Body, type Declared } from './template.ts';

/** One container of either platform, as far as rules for both need to know it. */
export interface AnyContainer {
  readonly name: string;
  readonly image: string;
  /** Whether it ends before the others start. */
  readonly isInit: boolean;
  readonly argv: readonly string[];
  /** Values that stand in the container's own description, by name. */
  readonly environment: Readonly<Record<string, string>>;
  /** Whether each path is mounted read-only. */
  readonly mounts: ReadonlyMap<string, boolean>;
  readonly body: Body;
}

/** The containers that a declaration describes: one for Docker, all of the pod for Kubernetes. */
export function containersOf(declared: Declared): readonly AnyContainer[] {
  if (declared.type === 'docker_container') return [dockerContainer(declared)];
  const pod = podOf(declared);
  if (pod === undefined) return [];
  return [
    ...blocksOf(pod, 'init_container').map((body) => podContainer(body, true)),
    ...blocksOf(pod, 'container').map((body) => podContainer(body, false)),
  ];
}

/** The pod that a declaration makes, or nothing. Only a Deployment may make one. */
export function podOf({ type, body }: Declared): Body | undefined {
  return type === 'kubernetes_deployment_v1' ? at(body, 'spec', 'template', 'spec') : undefined;
}

/** The first block along a path of names that is there whatever happens; empty where there is none. */
export function at(body: Body, ...names: readonly string[]): Body {
  return names.reduce<Body>((inner, name) => certainBlocksOf(inner, name)[0] ?? {}, body);
}

function dockerContainer({ name, body }: Declared): AnyContainer {
  return {
    name,
    image: text(body.image),
    isInit: body.must_run === false,
    argv: [...listOf(body.entrypoint), ...listOf(body.command)].map(text),
    environment: Object.fromEntries(listOf(body.env).map((one) => split(text(one)))),
    mounts: new Map(blocksOf(body, 'mounts').map((one) => [text(one.target), one.read_only === true])),
    body,
  };
}

function podContainer(body: Body, isInit: boolean): AnyContainer {
  return {
    name: text(body.name),
    image: text(body.image),
    isInit,
    argv: [...listOf(body.command), ...listOf(body.args)].map(text),
    environment: Object.fromEntries(
      blocksOf(body, 'env').flatMap(({ name, value }) => (value === undefined ? [] : [[text(name), text(value)]])),
    ),
    mounts: new Map(blocksOf(body, 'volume_mount').map((one) => [text(one.mount_path), one.read_only === true])),
    body,
  };
}

function split(entry: string): [name: string, value: string] {
  const end = entry.indexOf('=');
  return end === -1 ? [entry, ''] : [entry.slice(0, end), entry.slice(end + 1)];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
