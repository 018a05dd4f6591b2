import { realistic, startSimulatedCoder } from './simulated-coder.ts';

/**
 * The simulated Coder by hand: `node --import tsx test/support/coder/standalone.ts [port]`.
 *
 * Prints its URL, a member with a running and a stopped workspace, and an organization-admin, with their tokens.
 */
const coder = await startSimulatedCoder({ port: Number(process.argv[2] ?? 0), timing: realistic });
const alice = coder.addUser({ username: 'alice', name: 'Alice' });
const service = coder.addUser({ username: 'outrigger', roles: ['organization-admin', 'template-admin'] });
coder.addWorkspace({ owner: 'alice', name: 'dev', running: true });
coder.addWorkspace({ owner: 'alice', name: 'idle', running: false });

process.stdout.write(
  [
    'This is a SIMULATED Coder: no infrastructure, nothing is kept.',
    `CODER_URL=${coder.url}`,
    `CODER_SESSION_TOKEN=${alice.token}`,
    `OUTRIGGER_CODER_TOKEN=${service.token}`,
    '',
  ].join('\n'),
);

const stop = (): void => void coder.close();
process.once('SIGINT', stop);
process.once('SIGTERM', stop);
