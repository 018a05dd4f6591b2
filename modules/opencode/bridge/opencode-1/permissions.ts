import type { Profile } from '../../../contract.ts';

export type PermissionAction = 'allow' | 'ask' | 'deny';
export type PermissionMap = Readonly<Record<string, PermissionAction | Readonly<Record<string, PermissionAction>>>>;

/**
 * Files that change what other programs do later: an edit of `.git/config` needs no command to run code.
 *
 * The harness matches paths relative to the work tree, and its `*` crosses `/`; both forms are needed to
 * meet the file at the root and anywhere below.
 */
const dangerousFolders = ['.git', '.opencode', '.vscode', '.ambient', '.husky', '.githooks'];
const dangerousFiles = ['.envrc', '.mcp.json', '.gitattributes', '.gitmodules', '.gitconfig'];
/** A path with one of these names in it is asked about. */
export const dangerousPaths: readonly string[] = [...dangerousFolders, ...dangerousFiles];
const dangerous = [...dangerousPaths, ...dangerousFolders.map((folder) => `${folder}/**`)];
const atAnyDepth = dangerous.flatMap((pattern) => [pattern, `**/${pattern}`]);

const asksFor = (patterns: readonly string[]): Record<string, PermissionAction> => ({
  '*': 'allow',
  ...Object.fromEntries(patterns.map((pattern) => [pattern, 'ask' as const])),
});

const readable = { '*': 'allow', '*.env': 'ask', '*.env.*': 'ask', '*.env.example': 'allow' } as const;
const readableOrDenied = { '*': 'allow', '*.env': 'deny', '*.env.*': 'deny', '*.env.example': 'allow' } as const;

/**
 * What each profile lets the harness do without asking. The last matching rule wins, so `*` comes first.
 *
 * `question` is denied because nobody sits before a headless harness; `external_directory` because the work
 * tree is the whole of an attempt. Unknown keys are ignored by the harness, so a golden test holds these.
 */
export const permissionsOf: Readonly<Record<Profile, PermissionMap>> = {
  'read-only': {
    '*': 'deny',
    read: readableOrDenied,
    list: 'allow',
    glob: 'allow',
    grep: 'allow',
    edit: 'deny',
    bash: 'deny',
    task: 'deny',
    todowrite: 'deny',
    question: 'deny',
    webfetch: 'deny',
    websearch: 'deny',
    lsp: 'deny',
    skill: 'deny',
    doom_loop: 'deny',
    external_directory: 'deny',
  },
  ask: {
    '*': 'ask',
    read: readable,
    list: 'allow',
    glob: 'allow',
    grep: 'allow',
    edit: asksFor(atAnyDepth),
    bash: 'ask',
    task: 'ask',
    todowrite: 'allow',
    question: 'deny',
    webfetch: 'ask',
    websearch: 'ask',
    lsp: 'ask',
    skill: 'ask',
    doom_loop: 'ask',
    external_directory: 'deny',
  },
  trusted: {
    '*': 'allow',
    question: 'deny',
    doom_loop: 'deny',
    external_directory: 'deny',
  },
};

/** Tools that ask about every call where their permission says `ask`; `bash` by our plugin also for what holds no command. */
const wholeTools = ['bash', 'task', 'webfetch', 'websearch', 'skill'] as const;

export const askingTools = (profile: Profile): readonly string[] =>
  wholeTools.filter((tool) => permissionsOf[profile][tool] === 'ask');
