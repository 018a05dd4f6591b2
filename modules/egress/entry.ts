import { lookup } from 'node:dns/promises';
import { startEgressProxy } from './proxy.ts';
import { makeServiceList } from './service-list.ts';
import { readSettings, type EgressSettings } from './settings.ts';

/** Exit codes: 0 told to end · 2 a setting is missing or bad. */
const missingPrerequisite = 2;

const log = (message: string): void =>
  void process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), message })}\n`);

function settingsOrExit(): EgressSettings {
  try {
    return readSettings(process.env);
  } catch (error) {
    log(error instanceof Error ? error.message : String(error));
    process.exit(missingPrerequisite);
  }
}

const settings = settingsOrExit();
const list = makeServiceList(settings, log);
const proxy = await startEgressProxy({
  ...settings.listen,
  addresses: settings.addresses,
  entries: () => [...settings.entries, ...list.entries()],
  resolve: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
  onRefused(refusal) {
    list.note(refusal);
    log(`refused (${refusal.why}): ${refusal.host}:${String(refusal.port)}`);
  },
});
log(
  `egress ${settings.mode}: listening on ${settings.listen.host}:${String(proxy.port)}, ${String(settings.entries.length)} entries`,
);
for (const text of settings.unread)
  log(`${JSON.stringify(text)} of the list is no host and is left out. Give one such as "*.example.com".`);

for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(0));
process.on('unhandledRejection', (error) => log(`an error reached nobody: ${String(error)}`));

for (;;) {
  const pauseMs = await list.sync();
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
}
