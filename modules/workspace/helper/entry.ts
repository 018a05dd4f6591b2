import { chdir } from 'node:process';
import { factNames, facts } from './facts.ts';
import { commandOf } from './processes.ts';
import { livingHelper, serve } from './serve.ts';
import { ideEnvironment, takeSettings } from './settings.ts';

/** Exit codes: 0 done, or nothing to do · 2 used wrongly. */
const usedWrongly = 2;
const usage = `usage: helper.js serve            run the IDE and its gate, and tell Coder what the agent does, until SIGTERM
       helper.js stop             end the helper that serves, and the IDE with it
       helper.js fact ${factNames.join('|')}   one line for Coder's agent metadata
`;

const stopTimeoutMs = 20_000;
const stepMs = 100;
const wait = async (ms: number): Promise<void> => await new Promise((settle) => setTimeout(settle, ms));
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const settings = takeSettings(process.env);
const environment = ideEnvironment(process.env);
// The agent writes the repository, and a runtime takes configuration from the folder it is in.
chdir('/');

const [command, word] = process.argv.slice(2);
const fact = factNames.find((name) => name === word);
if (command === 'serve') await serveUntilTold();
else if (command === 'stop') await stop();
else if (command === 'fact' && fact !== undefined) say(facts[fact](settings.runDir));
else {
  process.stderr.write(usage);
  process.exit(usedWrongly);
}

async function serveUntilTold(): Promise<void> {
  const other = livingHelper(settings.dataDir);
  if (other !== null && other !== process.pid) return say(`helper: already serves as process ${String(other)}.`);
  process.on('unhandledRejection', () => say('helper: an error reached nobody.'));
  process.on('uncaughtException', (error) => say(`helper: an error reached nobody (${error.name}).`));
  const serving = await serve({ settings, environment, log: say, nowMs: () => performance.now(), wait });
  let isEnding = false;
  const end = async (): Promise<void> => {
    if (isEnding) return;
    isEnding = true;
    await serving.end();
    process.exit(0);
  };
  process.on('SIGTERM', () => void end());
  process.on('SIGINT', () => void end());
  say('helper: serves.');
}

async function stop(): Promise<void> {
  const pid = livingHelper(settings.dataDir);
  if (pid === null) return say('helper: does not run.');
  process.kill(pid, 'SIGTERM');
  for (let waitedMs = 0; waitedMs < stopTimeoutMs && commandOf(pid) !== null; waitedMs += stepMs) await wait(stepMs);
  say(commandOf(pid) === null ? 'helper: stopped.' : 'helper: still stopping.');
}
