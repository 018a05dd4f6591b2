import { Lexer, Parser, type CST } from 'yaml';

/** Levels, and keys of one map, that no document of ours comes near. */
const mostLevels = 100;
const mostKeys = 2_000;

/**
 * Why a text of YAML is too much to be parsed, as a clause; null where it is not. To be asked before it is parsed.
 *
 * Safety  the library calls itself for each level, and V8 ends the whole process where the stack runs out while it
 *         compiles a regular expression; and it compares each key of a map with all before it.
 */
export function tooMuchYaml(text: string): string | null {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    for (const _token of parser.next(lexeme)) continue;
    if (parser.stack.length > mostLevels) return `is nested deeper than ${mostLevels} levels`;
    if (keysOf(parser.stack.at(-1)) > mostKeys) return `has a map of more than ${mostKeys} keys`;
  }
  return null;
}

function keysOf(token: CST.Token | undefined): number {
  const isMap = token?.type === 'block-map' || (token?.type === 'flow-collection' && token.start.source === '{');
  return isMap ? token.items.length : 0;
}
