import { startRelay } from '../../../modules/opencode/bridge/relay.ts';

/** The relay in the runtime that the bridge has, whose `fetch` is not Node's: `relay-process.ts <address of the service>`. */
const [, , serviceUrl = ''] = process.argv;
const relay = await startRelay({ serviceUrl, port: 0, log: () => undefined });
const { url, gitUrl } = relay.open({ taskToken: 'ort_task', callLimit: 10, onLimit: () => undefined });
process.stdout.write(`${JSON.stringify({ url, gitUrl })}\n`);
