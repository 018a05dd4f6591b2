import { askGuard, type AskGuardPlan } from './ask-guard.ts';

/**
 * Names that a tool must find empty. The harness itself needs them, and tools inherit its environment; an OpenCode that a
 * tool starts would open the same database.
 */
const blankForTools = [
  'BUN_BE_BUN',
  ...['CONFIG', 'CONFIG_CONTENT', 'DB', 'PERMISSION', 'PID', 'SERVER_PASSWORD', 'SERVER_USERNAME', 'TUI_CONFIG'].map(
    (name) => `OPENCODE_${name}`,
  ),
];

/** Written into OpenCode's configuration folder by the plugin itself, once the guard stands. */
export const guardMark = 'guarded';

/**
 * The one plugin that a harness loads: the source of a module.
 *
 * It blanks secrets for tools, gives their git the network back, closes ways around what is asked, and keeps the
 * harness from loading any other program from disk. OpenCode 1.18.33 imports the plugins of a repository at the first
 * prompt although OPENCODE_DISABLE_PROJECT_CONFIG=1 (its newer configuration reader does not heed it), with the
 * harness's password in reach; OPENCODE_PURE=1 does not stop that either, and stops ours. What OpenCode brings itself is embedded and never comes this way.
 */
export const pluginText = (plan: AskGuardPlan): string => `import { writeFileSync } from 'node:fs';
${askGuard(plan)}Bun.plugin({
  name: 'outrigger',
  setup(build) {
    build.onLoad({ filter: /.*/ }, ({ path }) => {
      throw new Error('Outrigger lets OpenCode load no program from disk: ' + path);
    });
  },
});
writeFileSync(new URL('../${guardMark}', import.meta.url), '');
export const Outrigger = async () => ({
  'shell.env': async (_input, output) => {
    for (const name of ${JSON.stringify(blankForTools)}) output.env[name] = '';
    // The last setting is for the harness's own git.
    output.env.GIT_CONFIG_COUNT = String(Number(process.env.GIT_CONFIG_COUNT) - 1);
  },
  'tool.execute.before': async ({ tool }, { args }) => beforeTool(tool, args),
});
`;
