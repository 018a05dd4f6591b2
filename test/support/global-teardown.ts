/** Once per run, after the last worker. */
export default async function globalTeardown(): Promise<void> {
  await globalThis.outriggerTestServer?.stop();
}
