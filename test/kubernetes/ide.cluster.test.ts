import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { inNamespace, kubectl, podReady, run, selector, start, suffix, kubeconfig } from './cluster.ts';

const namespace = `outrigger-ide-${suffix}`;
const stub = new URL('../modules/workspace/helper/stub-ide.mjs', import.meta.url);
const minuteMs = 60_000;
/** An address of this machine that pods reach. */
const host = process.env.OUTRIGGER_TEST_HOST;
const withHost = kubeconfig === undefined || host === undefined ? describe.skip : describe;

/** The real bridge and helper in a pod, a running service beside the cluster; the IDE itself is a stub. */
withHost('the IDE of a workspace on a cluster', () => {
  let outrigger: TestService;
  beforeAll(async () => {
    outrigger = await startTestService({ OUTRIGGER_LISTEN: `${host ?? ''}:0` });
    const { workspace, people, url } = outrigger;
    const build = {
      workspaceId: workspace.id,
      ownerId: people.ada.id,
      agentId: workspace.agentId,
      agentToken: '2c1d7f3e-0000-4000-8000-000000000003',
      proof: await outrigger.proof(),
    };
    await start('kubernetes', namespace, { outrigger_url: url }, build);
    await podReady(namespace);
    await startHelper();
  }, 400_000);
  afterAll(async () => {
    await kubectl(['delete', 'namespace', namespace, '--wait=false', '--ignore-not-found']);
    await outrigger.stop();
  });

  /** As Coder's agent starts it, with code-server's flags, socket and health without its size. */
  async function startHelper(): Promise<void> {
    await run(namespace, 'worker', 'mkdir -p ~/bin && cat > ~/bin/stub-ide.mjs', readFileSync(stub, 'utf8'));
    const program = 'STUB_NOTES=/tmp/stub BUN_BE_BUN=1 exec /tools/opencode ~/bin/stub-ide.mjs code-server "$@"';
    await run(namespace, 'worker', 'cat > ~/bin/code-server && chmod 755 ~/bin/*', `#!/bin/sh\n${program}\n`);
    const serve =
      'cd / && PATH=$HOME/bin:$PATH OUTRIGGER_IDE=code-server BUN_BE_BUN=1 /tools/enter /tools/opencode /tools/helper.js serve';
    await run(namespace, 'worker', `setsid sh -c '${serve}' >/tmp/helper.log 2>&1 </dev/null &`);
  }

  const path = (): string => `/api/v2/agents/workspaces/${outrigger.workspace.id}`;
  const ask = async (method: string, suffixOfPath: string) =>
    (await outrigger.call(outrigger.people.ada, method, path() + suffixOfPath)).body as Record<string, unknown>;
  /** What Kubernetes itself says: the pod, and each of its containers with its restarts and its start. */
  const lives = (): Promise<string> =>
    inNamespace(
      namespace,
      ...['get', 'pods', '-l', selector, '-o'],
      'jsonpath={range .items[*]}{.metadata.uid}{range .status.containerStatuses[*]} {.name} {.restartCount} {.containerID}{.state.running.startedAt}{end}{end}',
    );
  const wish = (): Promise<string> => run(namespace, 'worker', 'cat /run/outrigger/ide.json');

  it('I-20 starts and stops on demand in the same pod: its UID, containers and restart counts stay', async () => {
    const connected = async () => ((await ask('GET', ''))['bridge'] as { connected: boolean } | null)?.connected;
    await eventually('the bridge to connect', connected, 4 * minuteMs);
    const phase = async () => (await ask('GET', '/ide'))['idePhase'];
    const before = await lives();

    await ask('POST', '/ide');
    await eventually('the IDE', async () => (await phase()) === 'Ready', 2 * minuteMs);
    const wanted = await wish();
    await ask('DELETE', '/ide');
    await eventually('the IDE to end', async () => (await phase()) === 'Disabled', 2 * minuteMs);

    expect(before).toMatch(/^[0-9a-f-]{36}(?= ).* worker 0 /);
    expect([JSON.parse(wanted), JSON.parse(await wish())]).toEqual([
      { enabled: true, generation: 1 },
      { enabled: false, generation: 2 },
    ]);
    expect(await lives()).toBe(before);
  }, 600_000);
});
