import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parse } from '@cdktn/hcl2json';
import { Command } from 'commander';
import { CommandFailure } from './command-failure.ts';

/** `outrigger template convert PATH` */
export function convertCommand(): Command {
  return new Command('convert')
    .description('take Coder Tasks, which Coder removed in 2.37, out of a template')
    .argument('<path>', 'a template’s folder, or one .tf file of it')
    .option('--write', 'change the files themselves, instead of a copy beside them')
    .addHelpText(
      'after',
      `
Takes out the resource coder_ai_task, data.coder_task and the parameter "AI Prompt", and names what is left to do by hand.
Writes a copy: my-template-converted beside my-template, or main.tf.converted beside main.tf.

Example:  outrigger template convert ./my-template

Exit codes: 0 converted · 2 a file cannot be read as HCL, or the copy is there already; then nothing was written
`,
    )
    .action(async (path: string, flags: { write?: boolean }) => {
      try {
        for (const line of await runConvert(path, flags.write ?? false)) console.log(line);
      } catch (error) {
        if (!(error instanceof CommandFailure)) throw error;
        console.error(error.message);
        process.exitCode = error.exitCode;
      }
    });
}

/** Converts a template and answers the report, a line each. Throws a `CommandFailure` 2 before anything is written. */
export async function runConvert(path: string, inPlace: boolean): Promise<string[]> {
  const source = resolve(path);
  if (!existsSync(source))
    throw new CommandFailure(2, `There is no ${path}. Name a template’s folder or one .tf file.`);
  const isFolder = statSync(source).isDirectory();
  const names = isFolder ? readdirSync(source).filter((name) => /\.tf(\.json)?$/.test(name)) : [basename(source)];
  if (names.length === 0) throw new CommandFailure(2, `${path} holds no .tf file. Name the folder of a template.`);
  const folder = isFolder ? source : dirname(source);
  const target = inPlace ? source : `${source}${isFolder ? '-' : '.'}converted`;
  if (!inPlace && existsSync(target)) throw new CommandFailure(2, `${target} is there already. Remove it first.`);

  const files = [];
  for (const name of names)
    files.push({ name, ...(await convertFile(name, readFileSync(join(folder, name), 'utf8'))) });
  const removed = files.flatMap(({ name, blocks }) => blocks.map((block) => ({ ...block, file: name })));
  if (removed.length === 0) return [`${path} holds nothing of Coder Tasks; nothing was written.`];

  if (isFolder && !inPlace) cpSync(source, target, { recursive: true });
  for (const { name, text } of files) writeFileSync(isFolder ? join(target, name) : target, text);
  const uses = files.flatMap(({ name, text }) => usesOf(removed, name, text));
  return [
    ...removed.map(({ file, line, address }) => `removed  ${file}:${line} ${address}`),
    ...uses.map((use) => `by hand  ${use}`),
    'by hand  The prompt no longer comes with the build: it arrives as a task, with outrigger task run "…".',
    'by hand  The workspace runs no agent yet: put Outrigger’s sidecar into it, as templates/docker does.',
    `written  ${target}`,
  ];
}

interface Block {
  /** As other blocks refer to it. */
  readonly address: string;
  readonly start: number;
  readonly end: number;
  /** In the file as it was. */
  readonly line: number;
}

/** The text of a file without its blocks of Coder Tasks; every other byte stays. */
async function convertFile(name: string, text: string): Promise<{ text: string; blocks: Block[] }> {
  if (name.endsWith('.json')) throw new CommandFailure(2, `${name} is JSON. Only HCL can be converted.`);
  const before = await read(name, text);
  const blocks: Block[] = [];
  for (const block of topBlocks(text))
    if (await isOfCoderTasks(name, block, text.slice(block.start, block.end))) blocks.push(block);
  const rest = [...blocks].reverse().reduce((left, { start, end }) => left.slice(0, start) + left.slice(end), text);
  // Positions were found by hand, so what is left is held against what the parser saw.
  if (JSON.stringify(await read(name, rest)) !== JSON.stringify(without(before, blocks)))
    throw new CommandFailure(
      2,
      `${name} is written in a way that cannot be converted safely. Remove the blocks by hand.`,
    );
  return { text: rest, blocks };
}

type Parsed = Record<string, Record<string, Record<string, unknown>>>;

async function read(name: string, text: string): Promise<Parsed> {
  try {
    return (await parse(name, text)) as Parsed;
  } catch (error) {
    throw new CommandFailure(2, `${name} cannot be read as HCL: ${(error as Error).message}`);
  }
}

async function isOfCoderTasks(name: string, { address }: Block, text: string): Promise<boolean> {
  if (/^(coder_ai_task|data\.coder_task)\./.test(address)) return true;
  const label = /^data\.coder_parameter\.(.+)$/.exec(address)?.[1];
  if (label === undefined) return false;
  const [body] = ((await read(name, text))['data']?.['coder_parameter']?.[label] ?? []) as { name?: unknown }[];
  return body?.name === 'AI Prompt';
}

function without(parsed: Parsed, blocks: readonly Block[]): Parsed {
  const rest = structuredClone(parsed);
  for (const { address } of blocks) {
    const [kind, type = '', label = ''] = address.startsWith('data.')
      ? address.split('.')
      : ['resource', ...address.split('.')];
    const all = rest[kind ?? ''];
    delete all?.[type]?.[label];
    if (all?.[type] && Object.keys(all[type]).length === 0) delete all[type];
    if (all && Object.keys(all).length === 0) delete rest[kind ?? ''];
  }
  return rest;
}

/** Lines that still speak of what was removed. */
function usesOf(removed: readonly Block[], name: string, text: string): string[] {
  const addresses = removed.map(({ address }) => address);
  return text.split('\n').flatMap((line, index) => {
    const used = addresses.find((address) => new RegExp(`\\b${address.replaceAll('.', '\\.')}\\b`).test(line));
    return used === undefined ? [] : [`${name}:${index + 1} still uses ${used}`];
  });
}

const header = /[ \t]*(resource|data)[ \t]+"?([\w-]+)"?[ \t]+"?([\w-]+)"?[ \t]*\{/y;

/** Resources and data sources outside every other block, with the line break after them. */
function topBlocks(text: string): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at < text.length;) {
    header.lastIndex = at;
    const found = at === 0 || text[at - 1] === '\n' ? header.exec(text) : null;
    if (!found) {
      at = skip(text, at);
      continue;
    }
    const [whole, kind, type, label] = found;
    const closed = skip(text, at + whole.length - 1);
    const end = text[closed] === '\n' ? closed + 1 : closed;
    const address = `${kind === 'data' ? 'data.' : ''}${type}.${label}`;
    blocks.push({ address, start: at, end, line: text.slice(0, at).split('\n').length });
    at = end;
  }
  return blocks;
}

const comment = /#[^\n]*|\/\/[^\n]*|\/\*[^]*?\*\//y;
const heredoc = /<<-?([\w-]+)\r?\n(?:[^]*?\n)??[ \t]*\1(?=\r?\n|$)/y;

/** The position after what begins here: a comment, a heredoc, a string, braces with all they hold, or one character. */
function skip(text: string, at: number): number {
  for (const pattern of [comment, heredoc]) {
    pattern.lastIndex = at;
    if (pattern.test(text)) return pattern.lastIndex;
  }
  if (text[at] === '"') return skipString(text, at + 1);
  if (text[at] !== '{') return at + 1;
  let inside = at + 1;
  while (inside < text.length && text[inside] !== '}') inside = skip(text, inside);
  return inside + 1;
}

function skipString(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '"') {
    const two = text.slice(at, at + 2);
    if (text[at] === '\\') at += 2;
    else if (/^(\$\$|%%)\{/.test(text.slice(at, at + 3))) at += 3;
    else if (two === '${' || two === '%{') at = skip(text, at + 1);
    else at += 1;
  }
  return at + 1;
}
