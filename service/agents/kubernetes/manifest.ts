import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { tooMuchYaml } from '../../platform/yaml-bounds.ts';
import { AgentFailure } from '../agent-failure.ts';
import { isListed, listedAs } from './kinds.ts';
import { mustBePowerless } from './powers.ts';
import { misreadIn } from './yaml-values.ts';

/** One object of a manifest, with its namespace filled in. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
}

/** What an admin lets the agent touch. */
export interface KubernetesBounds {
  readonly namespaces: readonly string[];
  /** `Kind` for the group that everybody knows it by, else `group/Kind`. */
  readonly kinds: readonly string[];
}

const mostObjects = 100;
const label = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/)
  .refine((text) => !text.includes('..'), 'must not hold ..');
/** It becomes a path on the cluster, so no part of it may lead anywhere else. */
export const apiVersionText = z
  .string()
  .max(300)
  .regex(/^([a-z0-9][-a-z0-9.]*\/)?v[a-z0-9]+$/)
  .refine((text) => !text.includes('..'), 'must not hold ..');
export const kindText = z.string().regex(/^[A-Z][A-Za-z0-9]{0,99}$/);
export const nameText = label;

const object = z.looseObject({
  apiVersion: apiVersionText,
  kind: kindText,
  metadata: z.looseObject({ name: label, namespace: label.optional() }),
});

/** Reads the objects of a manifest of one or many documents. Throws `AgentFailure` naming what is wrong. */
export function readManifest(text: string, namespace: string, bounds: KubernetesBounds): readonly KubernetesObject[] {
  const excess = tooMuchYaml(text);
  if (excess !== null) throw refused(`it ${excess}`);
  const documents = parseAllDocuments(text, { prettyErrors: false });
  const values = ('empty' in documents ? [] : documents).map((document, index) => {
    const [fault] = document.errors;
    if (fault) throw refused(`document ${index + 1} is not YAML (${fault.code})`);
    const misread = misreadIn(document);
    if (misread !== null) throw refused(`document ${index + 1} ${misread}`);
    return toValue(() => document.toJS({ maxAliasCount: 0 }), index);
  });
  const objects = values
    .filter((value) => value !== null)
    .map((value, index) => {
      const result = object.safeParse(value);
      if (!result.success)
        throw refused(`document ${index + 1} lacks ${result.error.issues[0]?.path.join('.') ?? 'all'}`);
      const { metadata } = result.data;
      const placed = { ...result.data, metadata: { ...metadata, namespace: metadata.namespace ?? namespace } };
      mustBeAllowed(placed, bounds);
      mustBePowerless(placed);
      return placed;
    });
  if (objects.length === 0) throw refused('there is no object in it');
  if (objects.length > mostObjects)
    throw refused(`it has ${objects.length} objects; at most ${mostObjects} go at once`);
  return objects;
}

function toValue(read: () => unknown, index: number): unknown {
  try {
    return read();
  } catch {
    throw refused(`document ${index + 1} uses an alias`);
  }
}

/** Throws `AgentFailure` where kind, with its API group, or namespace is not on the admin's list. */
export function mustBeAllowed(object: KubernetesObject, { kinds, namespaces }: KubernetesBounds): void {
  const { metadata } = object;
  if (!isListed(object, kinds)) throw notAllowed('kind', listedAs(object), kinds);
  if (!namespaces.includes(metadata.namespace)) throw notAllowed('namespace', metadata.namespace, namespaces);
}

const notAllowed = (what: string, value: string, allowed: readonly string[]): AgentFailure =>
  new AgentFailure(
    'ContextError',
    `The ${what} '${value}' is not allowed. ${allowed.length > 0 ? `Allowed: ${allowed.join(', ')}.` : `An admin of the service has allowed no ${what}.`}`,
  );

const refused = (why: string): AgentFailure => new AgentFailure('ContextError', `The manifest cannot be used: ${why}.`);
