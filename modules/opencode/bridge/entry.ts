import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startBridge } from './bridge.ts';
import { forgetOldTasks } from './forget-tasks.ts';
import { makeLog, textOf, type Log } from './log.ts';
import { openCode } from './opencode-1/opencode.ts';
import { startRelay } from './relay.ts';
import { runRunner } from './runner.ts';
import { SettingsError, takeSettings, type BridgeSettings } from './settings.ts';
import { makeStatusFile } from './status-file.ts';
import { openSystem } from './system.ts';

/** Exit codes: 0 told to end or superseded · 2 a setting is missing or bad. */
const missingPrerequisite = 2;
const now = (): Date => new Date();
const keeper = makeLog({ write: (line) => process.stdout.write(line), now });

if (process.argv[2] === 'runner') await runRunner();
else await runBridge();

async function runBridge(): Promise<void> {
  const { log } = keeper;
  log('info', 'bridge starting');
  // First of all: from here on no process of the same uid can read what we were started with.
  const system = await openSystem();
  const isUndumpable = system?.setUndumpable() ?? false;
  system?.setChildSubreaper();
  const settings = readSettings(log);
  if (!isUndumpable)
    log('error', 'the bridge could not make itself undumpable: tools of the same user can read its secrets in /proc');
  warnOfReadableHarness(log);
  // The runtime runs what `bunfig.toml` of its directory preloads and takes variables from `.env` there.
  if (process.cwd() !== '/') log('warn', 'start the bridge in /: files of any other directory can run code in it');
  for (const secret of [settings.proof, settings.harnessKey]) keeper.keep(secret);
  process.env['NO_PROXY'] = [process.env['NO_PROXY'] ?? process.env['no_proxy'], '127.0.0.1', 'localhost']
    .filter(Boolean)
    .join(',');

  const statusFile = makeStatusFile(settings.runDir, log);
  const forgotten = forgetOldTasks(settings.agentDir, now());
  if (forgotten.length > 0) log('info', 'old tasks forgotten', { count: forgotten.length });
  const version = await openCode.detect({
    path: process.execPath,
    searchPath: settings.inherited['PATH'] ?? '',
    home: settings.agentDir,
  });
  if (version === openCode.version) log('info', 'OpenCode found', { version });
  else
    log(
      'error',
      'this is not the OpenCode that this bridge drives, so every task will fail; use the image it came with',
      {
        version,
        driven: openCode.version,
      },
    );
  const relay = await startRelay({ serviceUrl: settings.url, port: settings.relayPort, log });
  log('info', 'bridge started', {
    relay_port: relay.port,
    slots: settings.slots,
    runtime: process.versions['bun'] ?? null,
  });
  const bridge = startBridge({
    settings,
    harness: openCode,
    keeper,
    relay,
    statusFile,
    system,
    harnessVersion: version,
    execPath: process.execPath,
    bundle: fileURLToPath(import.meta.url),
    now,
  });
  let isEnding = false;
  const end = async (why: string): Promise<void> => {
    if (isEnding) return;
    isEnding = true;
    log('info', 'the bridge ends', { why });
    await bridge.end();
    process.exit(0);
  };
  // Coder's agent ends its scripts, and in process mode the bridge with them, by SIGHUP.
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => void end(name));
  process.on('unhandledRejection', (error) => log('error', 'an error reached nobody', { error: textOf(error) }));
  await bridge.superseded;
  await end('superseded');
}

function readSettings(log: Log): BridgeSettings {
  try {
    return takeSettings(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    log('error', error.message);
    process.exit(missingPrerequisite);
  }
}

/** A binary that its user can read starts dumpable, and its environment holds the harness password. */
function warnOfReadableHarness(log: Log): void {
  if (process.getuid?.() === 0) return;
  try {
    accessSync(process.execPath, constants.R_OK);
    log(
      'warn',
      'the OpenCode binary is readable, so tools can read the harness password in /proc; install it with mode 0111',
    );
  } catch {
    return;
  }
}
