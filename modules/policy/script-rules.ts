import { paths } from '../contract.ts';
import { containersOf } from './containers.ts';
import type { Rule } from './rule.ts';
import { blocksOf, type Declared } from './template.ts';

/** git where a command may stand. */
const git = /(^|[\s;&|(`'"{]|\/bin\/)git["']?\s+\S/m;
/** A folder that the agent can write. */
const shared = String.raw`["']?(${paths.workspace}\b|\$*\{?(WORKSPACE|workspace|folder)|\$*\{?local\.folder|\$\{data\.coder_parameter)`;
const gitElsewhere = new RegExp(
  String.raw`\bgit\b[^\n;|&]*\s(-C\b|--git-dir\b|--work-tree\b)|\bGIT_(DIR|WORK_TREE)=|\b(cd|pushd)\s+(--\s+)?${shared}[\s\S]*?[\s;&|(]git\s`,
);

const shell = String.raw`(\S*/)?(env\s+\S*\s*)?(\S*/)?(ba|da|z|k|a)?sh\b`;
const fetch = String.raw`\b(curl|wget)\b`;
const pipedInstall = new RegExp(
  [
    `${fetch}[^\\n]*\\|\\s*(sudo\\s+(-\\S+\\s+)*)?${shell}`,
    `${fetch}[^\\n]*\\|\\s*(sudo\\s+)?(python3?|node|perl|ruby)\\b`,
    `(<|\\$)\\(\\s*${fetch}`,
    `\`\\s*${fetch}`,
  ].join('|'),
);

/** What the worker runs by itself, with the person's keys in reach. */
export const scriptRules: readonly Rule[] = [
  {
    id: 'agent-dir',
    check: ({ type, body }) =>
      type !== 'coder_agent' || body.dir === undefined || isInHome(body.dir)
        ? undefined
        : `works in ${JSON.stringify(body.dir)}, and Coder's agent runs what a .mcp.json in its folder names. Set dir = "${paths.home}".`,
  },
  {
    id: 'git-in-workspace',
    check: (declared) =>
      unattended(declared).some((text) => git.test(text)) || scriptsOf(declared).some((text) => gitElsewhere.test(text))
        ? 'runs git in a folder that the agent can write, whose .git/config names programs to run. Show what the bridge tells instead.'
        : undefined,
  },
  {
    id: 'piped-install',
    check: (declared) =>
      [...unattended(declared), ...scriptsOf(declared)].some((text) => pipedInstall.test(text.replaceAll('\\\n', ' ')))
        ? 'runs what it downloads, whatever that is by then. Put the program into the image.'
        : undefined,
  },
];

function isInHome(dir: unknown): boolean {
  return typeof dir === 'string' && /^\/home\/coder(\/[\w.-]+)*\/?$/.test(dir) && !dir.includes('..');
}

/** What Coder's agent runs again and again or at each start, where a repository already lies. */
function unattended({ type, body }: Declared): readonly string[] {
  if (type !== 'coder_agent') return [];
  const metadata = blocksOf(body, 'metadata').map(({ script }) => script);
  return [...metadata, body.startup_script, body.shutdown_script].map((script) => String(script ?? ''));
}

function scriptsOf(declared: Declared): readonly string[] {
  const { type, body } = declared;
  if (type === 'coder_script') return [String(body.script)];
  if (type === 'coder_app') return [String(body.command ?? '')];
  return containersOf(declared).flatMap(({ argv }) => [...argv, argv.join(' ')]);
}
