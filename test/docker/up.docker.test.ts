import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { thisMachine } from '../../scripts/up/address.ts';
import { bridgeAddress, openDocker } from '../../scripts/up/docker.ts';
import { startGitServer } from '../modules/workspace/git-server.ts';
import { renderedTemplates } from '../scripts/template-harness.ts';
import { ranUp, startBuildingCoder, type BuildingCoder, type Start } from '../scripts/up-harness.ts';
import { startSimulatedCoder, type SimulatedCoder } from '../support/coder/simulated-coder.ts';
import { createTestDatabase } from '../support/database.ts';
import { startScriptedModel, type ScriptedModel } from '../support/model/scripted-model.ts';
import { makeRepository } from '../support/stage/repository.ts';
import { docker, plannedDocker, type PlannedDocker } from '../support/terraform/planned-docker.ts';
import { bareImage, withDockerAtLength } from './images.ts';
import { planWorkspace } from './planned-workspace.ts';
import { workspaceAgent } from './workspace-agent.ts';

const minutes = 60_000;
const organization = 'outrigger-up-test';
const port = 20_000 + (process.pid % 10_000);

/** A newcomer's whole way: nothing runs yet but Coder, and Docker has no image of ours. */
withDockerAtLength('outrigger up on a machine with Docker', () => {
  let simulated: SimulatedCoder;
  let coder: BuildingCoder;
  let model: ScriptedModel;
  let git: Awaited<ReturnType<typeof startGitServer>>;
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  let folder: string;
  /** What was made so far, to be ended in the opposite order; all of it also where a later one could not be made. */
  const endings: (() => unknown)[] = [];
  let containers: PlannedDocker | undefined;
  let pid: number | undefined;
  /** Ends the wait for a workspace that could not be started. */
  const unprovisioned = new AbortController();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-up-'));
    endings.push(() => rmSync(folder, { recursive: true, force: true }));
    simulated = await startSimulatedCoder();
    endings.push(() => simulated.close());
    coder = await startBuildingCoder(simulated, (start) =>
      provision(start).catch((error: unknown) => {
        unprovisioned.abort(error);
        throw error;
      }),
    );
    endings.push(() => coder.close());
    model = await startScriptedModel();
    endings.push(() => model.close());
    database = await createTestDatabase();
    endings.push(() => database.drop());
    makeRepository(join(folder, 'repositories', 'users'));
    const gateway = await bridgeAddress(await openDocker(new AbortController().signal), thisMachine());
    if (gateway === null) throw new Error('Docker has no bridge here.');
    git = await startGitServer(join(folder, 'repositories'), '', '', gateway);
    endings.push(() => git.close());
  }, minutes);
  afterAll(async () => {
    if (pid !== undefined) process.kill(pid, 'SIGTERM');
    await containers?.remove();
    for (const end of endings.reverse()) await end();
    const ours = await docker('images', '--format', '{{.Repository}}:{{.Tag}}');
    for (const name of ours.split('\n').filter((one) => one.includes(`/${organization}/`)))
      spawnSync('docker', ['image', 'rm', '--force', name]);
  }, 2 * minutes);

  /** What Coder's provisioner does: the plan of the template, then its containers and the agent's scripts. */
  async function provision(start: Start): Promise<void> {
    const { outrigger_url, outrigger_secret, opencode_image = '', executor_images = '[]' } = start.variables;
    const [executor = ''] = JSON.parse(executor_images) as string[];
    const planned = await planWorkspace({
      ...start,
      variables: { outrigger_url, outrigger_secret },
      images: { opencode: opencode_image, executor },
    });
    containers = plannedDocker(planned);
    await containers.start();
    const worker = `coder-ada-${start.workspaceName}`;
    const ended = await workspaceAgent(planned, worker).runScripts();
    const failed = Object.entries(ended).filter(([, { code }]) => code !== 0);
    if (failed.length > 0) throw new Error(JSON.stringify(failed));
  }

  const up = (token: string) =>
    ranUp(
      {
        coder: coder.url,
        port: String(port),
        workspace: `up-${process.pid}`,
        repository: git.url.replace(/\/$/, '') + '/users',
        prompt: 'SCENARIO:write ARG:HELLO.md|Hello.',
      },
      {
        rendering: renderedTemplates(folder),
        signal: AbortSignal.any([unprovisioned.signal, AbortSignal.timeout(18 * minutes)]),
        pollMs: 200,
        environment: {
          ...process.env,
          CODER_SESSION_TOKEN: token,
          OUTRIGGER_DATA_DIR: join(folder, 'data'),
          DATABASE_URL: database.url,
          CREDENTIAL_ENCRYPTION_KEYRING: JSON.stringify({ '1': Buffer.alloc(32, 7).toString('base64') }),
          CREDENTIAL_ENCRYPTION_KEY_VERSION: '1',
          AUDIT_SIGNING_KEY: Buffer.alloc(32, 8).toString('base64'),
          MODEL_UPSTREAM_URL: model.url,
          OUTRIGGER_MODEL: 'scripted/test',
          OUTRIGGER_ALLOW_UNPRICED_MODELS: 'true',
          IMG_ORG: organization,
          BASE_IMAGE: bareImage,
          ALLOW_LOCAL_BASE: '1',
        },
      },
    );

  it(
    'builds, starts, pushes and finishes a task in real containers, and keeps all of it the next time',
    async () => {
      const { token } = simulated.addUser({ username: 'ada', roles: ['template-admin'] });

      const first = await up(token);
      // Told also where a later step failed.
      const started = /started as process (\d+)/.exec(first.said)?.[1];
      pid = started === undefined ? undefined : Number(started);
      const log = first.code === 0 ? '' : readFileSync(join(folder, 'data', 'serve.log'), 'utf8');
      expect([first.code, `${first.said}\n${log}`]).toEqual([0, expect.stringContaining('✔ Task: succeeded, commit')]);
      await coder.settled();
      const second = await up(token);

      expect(first.joined?.template).toMatchObject({ created: true, changed: true });
      expect(pid).toBeGreaterThan(0);
      // By digest, and Docker makes containers of it although no registry is there any more.
      const { opencode_image: image = '' } = coder.starts[0]?.variables ?? {};
      expect(image).toMatch(/@sha256:[0-9a-f]{64}$/);
      const container = await docker('create', image, 'true');
      await docker('rm', container);
      expect([second.code, second.said]).toEqual([0, expect.stringContaining('✔ Service: it runs already')]);
      expect(second.joined).toMatchObject({ template: { changed: false }, workspace: first.joined?.workspace });
      expect(coder.starts).toHaveLength(1);
      for (const { said } of [first, second]) expect(said).not.toContain(token);
    },
    20 * minutes,
  );
});
