/** Characters with which a shell would start something else than the one program. */
const shellOnly = /[;&|<>()`\n\r]/;
const quoteIt =
  'Commands run without a shell: put it in quotes where it is meant as it is, or write a script and run that.';

/**
 * The words of a command, split as a shell would: quotes and backslashes keep spaces, and nothing is expanded.
 *
 * Errors   throws for what only a shell could do, because a program would take it for an argument.
 */
export function wordsOf(command: string): string[] {
  if (command.includes('\0')) throw new Error('A command holds no null byte.');
  const words: string[] = [];
  const pieces = /\s*((?:'[^']*'|"(?:[^"\\]|\\[\s\S])*"|\\[\s\S]|[^\s'"\\])+)/y;
  const text = command.trim();
  while (pieces.lastIndex < text.length) {
    const found = pieces.exec(text);
    if (!found) throw new Error('A quote or a backslash of the command is not ended.');
    words.push(plain(found[1] ?? ''));
  }
  if (words[0] === undefined || words[0] === '') throw new Error('command names no program.');
  return words;
}

const plain = (word: string): string =>
  word.replace(/'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^'"\\]+)/g, (_all, single, double, escaped, bare) => {
    if (typeof single === 'string') return single;
    if (typeof double === 'string') return double.replace(/\\(["\\$`])/g, '$1');
    if (typeof escaped === 'string') return escaped;
    return mustBeBare(String(bare));
  });

function mustBeBare(text: string): string {
  const [character] = shellOnly.exec(text) ?? /\$[A-Za-z_{(]/.exec(text) ?? [];
  if (character !== undefined)
    throw new Error(`${JSON.stringify(character)} means something to a shell only. ${quoteIt}`);
  return text;
}
