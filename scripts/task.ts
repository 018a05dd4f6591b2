import { Command } from 'commander';
import { inProcess, withServiceOptions, type ServiceFlags } from './template-context.ts';
import {
  endTask,
  listTasks,
  printEvents,
  showTask,
  tellTask,
  type EventFlags,
  type ListFlags,
  type MessageFlags,
} from './task/read-tasks.ts';
import {
  exportTask,
  listCheckpoints,
  printLog,
  restoreTask,
  type ExportTaskFlags,
  type LogFlags,
  type RestoreFlags,
} from './task/record-task.ts';
import { retryTask, runTask, type RunFlags } from './task/run-task.ts';

/** `outrigger task …` */
export function taskCommand(): Command {
  return new Command('task')
    .addCommand(taskRunCommand('task run'))
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(eventsCommand())
    .addCommand(logsCommand())
    .addCommand(exportTaskCommand())
    .addCommand(checkpointsCommand())
    .addCommand(restoreTaskCommand())
    .addCommand(messageCommand())
    .addCommand(stopCommand())
    .addCommand(retryCommand());
}

const exits =
  'With --wait it exits as the task ended: 0 done · 1 the agent failed · 2 something it needs is missing · 124 timed out · 143 stopped.';

/** `outrigger task run`, and `outrigger run`, which is the same; `typed` is what its example says. */
export function taskRunCommand(typed: string): Command {
  return withServiceOptions(new Command('run'))
    .description('give an agent one task')
    .argument('<prompt>', 'what is to be done')
    .option('-w, --workspace <workspace>', 'id, name or owner/name; otherwise your only running one')
    .option('--agent <name>', 'who does it', 'opencode')
    .option('--action <name>', 'what kind of work it is', 'generate_code')
    .option('--file <path>', 'the file it is about')
    .option('--model <name>', 'the model, where not the usual one')
    .option('--profile <name>', 'what may be done without asking: read-only, ask or trusted')
    .option('--verify <command>', 'checks the work, without a shell: "npm test" or a JSON list of words')
    .option('--verify-timeout <seconds>', 'how long that may take')
    .option('--timeout <seconds>', 'how long the task may run')
    .option('--priority <number>', '-100 to 100; higher begins first')
    .option('--key <text>', 'the same key again names the same task, for a day')
    .option('--wait', 'follow it to its end and exit as it ended')
    .addHelpText(
      'after',
      `\nExample:\n  outrigger ${typed} "Add a test for the parser" --workspace my-workspace --verify "npm test" --wait\n\n${exits}\n`,
    )
    .action(async (prompt: string, flags: RunFlags) => {
      process.exitCode = await inProcess(flags, (around) => runTask(prompt, flags, around));
    });
}

const listCommand = (): Command =>
  withServiceOptions(new Command('list'))
    .description('show your tasks, the newest first')
    .option('--limit <number>', 'how many, up to 200', '20')
    .option('--workflow <id>', 'only those of a workflow')
    .addHelpText('after', '\nExample:\n  outrigger task list --limit 50\n')
    .action(async (flags: ListFlags) => {
      process.exitCode = await inProcess(flags, (around) => listTasks(flags, around));
    });

const showCommand = (): Command =>
  withServiceOptions(new Command('show'))
    .description('show how a task stands and what it came to')
    .argument('<id>', 'which task, as `task list` shows it')
    .addHelpText('after', '\nExample:\n  outrigger task show 0190… --output json\n')
    .action(async (id: string, flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => showTask(id, flags, around));
    });

const eventsCommand = (): Command =>
  withServiceOptions(new Command('events'))
    .description('show what happened in a task')
    .argument('<id>', 'which task')
    .option('-f, --follow', 'go on until it has ended')
    .addHelpText('after', '\nExample:\n  outrigger task events 0190… --follow\n')
    .action(async (id: string, flags: EventFlags) => {
      process.exitCode = await inProcess(flags, (around) => printEvents(id, flags, around));
    });

const logsCommand = (): Command =>
  withServiceOptions(new Command('logs'))
    .description('show what the agent of a task said and did')
    .argument('<id>', 'which task')
    .option('-f, --follow', 'go on until it has ended')
    .addHelpText('after', '\nExample:\n  outrigger task logs 0190…\n')
    .action(async (id: string, flags: LogFlags) => {
      process.exitCode = await inProcess(flags, (around) => printLog(id, flags, around));
    });

const exportTaskCommand = (): Command =>
  new Command('export')
    .description('write the transcript of a task to a file, with the files that it left')
    .argument('<id>', 'which task')
    .option('--format <name>', 'zip: the task, its transcript and its files; ndjson: one event a line', 'zip')
    .option('-o, --output <file>', 'where to; otherwise task-<id>.<format> here')
    .option('--organization <name>', 'organization in Coder; needed by members of several')
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('--service <url>', 'the running service; otherwise OUTRIGGER_URL, else where it listens on this machine')
    .addHelpText('after', '\nExample:\n  outrigger task export 0190… --output work.zip\n')
    .action(async (id: string, flags: ExportTaskFlags) => {
      const shared = { ...flags, output: 'text' };
      process.exitCode = await inProcess(shared, (around) => exportTask(id, flags, around));
    });

const checkpointsCommand = (): Command =>
  withServiceOptions(new Command('checkpoints'))
    .description('show which states of the work of a task its workspace has saved')
    .argument('<id>', 'which task')
    .addHelpText('after', '\nExample:\n  outrigger task checkpoints 0190…\n')
    .action(async (id: string, flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => listCheckpoints(id, flags, around));
    });

const restoreTaskCommand = (): Command =>
  withServiceOptions(new Command('restore'))
    .description('make the work tree of a task that of a checkpoint; what lies there is saved first')
    .argument('<id>', 'which task')
    .argument('<number>', 'which checkpoint, as `task checkpoints` shows it')
    .option('--force', 'over work that is not committed, too')
    .addHelpText('after', '\nExample:\n  outrigger task restore 0190… 2\n')
    .action(async (id: string, number: string, flags: RestoreFlags) => {
      process.exitCode = await inProcess(flags, (around) => restoreTask(id, number, flags, around));
    });

const messageCommand = (): Command =>
  withServiceOptions(new Command('message'))
    .description('say something to a task: its agent hears it as the next prompt')
    .argument('<id>', 'which task')
    .argument('<text>', 'what the agent is told')
    .option('--key <text>', 'the same key again sends the message once, for a day')
    .addHelpText('after', '\nExample:\n  outrigger task message 0190… "Leave the tests as they are."\n')
    .action(async (id: string, text: string, flags: MessageFlags) => {
      process.exitCode = await inProcess(flags, (around) => tellTask(id, text, flags, around));
    });

const stopCommand = (): Command =>
  withServiceOptions(new Command('stop'))
    .description('end a task')
    .argument('<id>', 'which task')
    .addHelpText('after', '\nExample:\n  outrigger task stop 0190…\n')
    .action(async (id: string, flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => endTask(id, flags, around));
    });

const retryCommand = (): Command =>
  withServiceOptions(new Command('retry'))
    .description('do the work of a task that came to nothing again, as a new task')
    .argument('<id>', 'which task')
    .option('--key <text>', 'the same key again names the same new task, for a day')
    .option('--wait', 'follow it to its end and exit as it ended')
    .addHelpText('after', `\nExample:\n  outrigger task retry 0190… --wait\n\n${exits}\n`)
    .action(async (id: string, flags: RunFlags) => {
      process.exitCode = await inProcess(flags, (around) => retryTask(id, flags, around));
    });
