import { isNode, isScalar, visit, type Document } from 'yaml';

const plainTags = ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((name) => `tag:yaml.org,2002:${name}`);

/**
 * Says what in a document the cluster would not get as its writer meant it, or null.
 *
 * YAML 1.2 reads 0400 as four hundred, kubectl as 256; and what JSON cannot carry would arrive as something else.
 */
export function misreadIn(document: Document): string | null {
  let found: string | null = null;
  visit(document, (_key, node) => {
    if (!isNode(node)) return undefined;
    found = misread(node);
    return found === null ? undefined : visit.BREAK;
  });
  return found;
}

function misread(node: { readonly tag?: string | undefined }): string | null {
  if (node.tag !== undefined && !plainTags.includes(node.tag))
    return `uses the tag ${node.tag.replace('tag:yaml.org,2002:', '!!').slice(0, 100)}; write a text, or binaryData as base64`;
  if (!isScalar(node) || typeof node.value !== 'number') return null;
  const { value, source = '' } = node as { value: number; source?: string };
  const shown = source.slice(0, 100);
  if (!Number.isFinite(value))
    return `holds ${shown}, which is no number for the cluster; write a number or "${shown}"`;
  if (/^[-+]?0\d/.test(source)) return `holds ${shown}; ${spelled(shown)}`;
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    return `holds ${shown}, which is too large to arrive unchanged; write "${shown}" if it is a text`;
  return null;
}

const spelled = (source: string): string =>
  /^0[0-7]+$/.test(source)
    ? `write ${Number.parseInt(source, 8)} if it is octal, or "${source}" if it is a text`
    : `write it without the leading zero, or "${source}" if it is a text`;
