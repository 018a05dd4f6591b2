import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LineCounter, parseAllDocuments } from 'yaml';
import { visible } from '../approval-text.ts';
import { CommandFailure } from '../command-failure.ts';
import { readText } from '../template-context.ts';
import { measured, valueOf } from '../yaml-text.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** One document of a file. */
export interface Manifest {
  /** File and line, for people. */
  readonly where: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly value: Fields;
}

export interface Fault {
  readonly where: string;
  readonly message: string;
}

export interface Read {
  readonly manifests: readonly Manifest[];
  readonly faults: readonly Fault[];
}

/** The documents of files, and of the YAML and JSON files directly in folders, in the order of their names. */
export function readManifests(paths: readonly string[]): Read {
  const read = paths.flatMap(filesOf).map(readFile);
  const manifests = read.flatMap((one) => one.manifests);
  const faults = read.flatMap((one) => one.faults);
  const seen = new Map<string, Manifest>();
  for (const one of manifests) {
    const key = `${one.kind}/${one.name}`;
    const first = seen.get(key);
    if (first) faults.push({ where: one.where, message: `${key} stands in ${first.where} too; keep one of them.` });
    seen.set(key, one);
  }
  return { manifests, faults };
}

function filesOf(path: string): readonly string[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new CommandFailure(2, `There is no file or folder ${path}.`);
  if (!stats.isDirectory()) return [path];
  const files = readdirSync(path)
    .filter((name) => /\.(ya?ml|json)$/.test(name))
    .sort();
  if (files.length === 0) throw new CommandFailure(2, `${path} holds no .yaml, .yml or .json file.`);
  return files.map((name) => join(path, name));
}

function readFile(file: string): { manifests: Manifest[]; faults: Fault[] } {
  const [manifests, faults]: [Manifest[], Fault[]] = [[], []];
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(measured(file, readText(file)), { lineCounter });
  for (const document of 'empty' in documents ? [] : documents) {
    const where = `${file}:${lineCounter.linePos(document.contents?.range?.[0] ?? document.range[0]).line}`;
    const fault = document.errors[0];
    if (fault) {
      faults.push({ where, message: `this is not YAML: ${visible(fault.message.split('\n')[0] ?? '')}` });
      continue;
    }
    if (document.contents === null) continue;
    const manifest = asManifest(where, valueOf(where, document));
    if ('message' in manifest) faults.push(manifest);
    else manifests.push(manifest);
  }
  return { manifests, faults };
}

export function asManifest(where: string, value: unknown): Manifest | Fault {
  if (!isFields(value)) return { where, message: 'this is no manifest: it needs apiVersion, kind, metadata and spec.' };
  const { apiVersion, kind, metadata } = value;
  const name = isFields(metadata) ? metadata['name'] : undefined;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string')
    return { where, message: 'this is no manifest: apiVersion or kind is missing.' };
  if (typeof name !== 'string' || !/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name))
    return { where, message: 'metadata.name must be lower-case letters, digits and hyphens, such as nightly-update.' };
  return { where, apiVersion, kind, name, value };
}

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
