import { homedir } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { readFileIfThere } from '../service/config-sources.ts';
import { inProcess, type Surroundings } from './template-context.ts';
import { renderTemplate, synthesizeTemplate, templatesDirectory } from './template-render.ts';
import { thisMachine } from './up/address.ts';
import { runUp, type Joined, type UpFlags } from './up/run-up.ts';

/** A small public repository of one file, for those who name none. */
const repository = 'https://github.com/octocat/Hello-World';
const prompt =
  'Add a file HELLO.md with one sentence that greets whoever reads it. Change nothing else and run no command.';

/** The `up` noun of the `outrigger` command. */
export function upCommand(): Command {
  return new Command('up')
    .description('Joins a Coder: service, images, template and a workspace that finishes one task')
    .option('--coder <url>', 'the Coder to join; otherwise CODER_URL')
    .option('--token-file <file>', 'a file that holds your token; otherwise CODER_SESSION_TOKEN')
    .option('--token <token>', 'your token; others on this machine can read a command line')
    .option('--url <url>', 'how workspaces reach Outrigger; otherwise OUTRIGGER_URL')
    .option('--port <port>', 'where the service listens, when it is started and no --url names a port', '7676')
    .option('--organization <name>', 'organization in Coder; needed by members of several')
    .option('--workspace <name>', 'name of the workspace that is made', 'outrigger')
    .option('--repository <url>', 'what the workspace clones', repository)
    .option('--prompt <text>', 'the task', prompt)
    .option('--images-lock <file>', 'images by name and digest; otherwise images.lock.json where there is one')
    .option('--rebuild', 'build the images even where they are there')
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .addHelpText(
      'after',
      `
Needs a token of somebody who may publish templates (organization-template-admin), and a key of a model's provider where
the service is started. What is there already is kept, so run it again after a stop. docs/joining.md is the walk-through.

Exit codes: 0 done · 1 a step failed · 2 something is missing or wrong · 124 timed out · 130, 143 stopped

Example:
  CODER_SESSION_TOKEN=… OPENROUTER_API_KEY=… outrigger up --coder https://coder.example.com
`,
    )
    .action(async (flags: UpFlags) => {
      const { config, organization } = flags;
      const given = { ...(config && { config }), ...(organization && { organization }), output: 'text' };
      process.exitCode = await inProcess(given, async (around) => {
        tellEnd(await runUp(flags, { ...around, ...here(around) }), around.print);
      });
    });
}

const here = ({ signal }: Surroundings) => ({
  environment: process.env,
  files: { readFile: readFileIfThere, homeDir: homedir(), uid: process.getuid?.() },
  rendering: { directory: templatesDirectory, synthesize: synthesizeTemplate, render: renderTemplate },
  machine: thisMachine(),
  ask: process.stdin.isTTY ? (question: string) => askPerson(question, signal) : undefined,
});

async function askPerson(question: string, signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
  }
}

function tellEnd({ service, template, workspace, task }: Joined, print: (line: string) => void): void {
  const { url, started } = service;
  print(`Workspace ${workspace.name} finished task ${task.id} under template docker, version ${template.version}.`);
  print(
    `Outrigger is at ${url}.${started === null ? '' : ` \`kill ${started.pid}\` ends it; this command starts it again.`}`,
  );
}
