import { startTestServer, type TestServer } from './database-server.ts';

declare global {
  var outriggerTestServer: TestServer | undefined;
}

/** Once per run, before the workers: they inherit what is put into the environment here. */
export default async function globalSetup(): Promise<void> {
  const server = await startTestServer(process.env['DATABASE_URL']);
  globalThis.outriggerTestServer = server;
  process.env['OUTRIGGER_TEST_SERVER'] = server.url;
  process.env['OUTRIGGER_TEST_TEMPLATE'] = server.template;
}
