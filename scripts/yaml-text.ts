import type { Document } from 'yaml';
import { tooMuchYaml } from '../service/platform/yaml-bounds.ts';
import { CommandFailure } from './command-failure.ts';

/** A few aliases in a row make a text of any size. */
const mostAliases = 100;

/** The text of a file of YAML, when it may be parsed. Throws a `CommandFailure` for one that is too much. */
export function measured(file: string, text: string): string {
  const excess = tooMuchYaml(text);
  if (excess !== null) throw new CommandFailure(2, `${file} ${excess}. Write it flatter, or in parts.`);
  return text;
}

/** What a document says. Throws a `CommandFailure` where its aliases stand for too much, or for nothing. */
export function valueOf(where: string, document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: mostAliases }) as unknown;
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    throw new CommandFailure(2, `${where} has aliases that stand for too much, or for nothing. Write them out.`);
  }
}
