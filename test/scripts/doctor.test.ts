import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createClient } from 'coder-sdk-ts';
import { exitCodeOf, formatDiagnosis, oneLine, type Check } from '../../scripts/doctor/check.ts';
import { checkService } from '../../scripts/doctor/service-checks.ts';
import { checkWorkspace } from '../../scripts/doctor/workspace-checks.ts';
import { loadConfig, type Config } from '../../service/config.ts';
import { startTestService, type TestService } from '../support/service.ts';

let test: TestService;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-doctor-'));
  test = await startTestService();
});
afterAll(async () => {
  await test.stop();
  rmSync(folder, { recursive: true, force: true });
});

const modelKey = 'sk-canary-of-the-model-key';
const configured = (change: Record<string, string>): Config =>
  loadConfig({
    environment: {
      CODER_URL: test.coder.url,
      OUTRIGGER_CODER_TOKEN: test.people.admin.token,
      OUTRIGGER_DATA_DIR: folder,
      OUTRIGGER_URL: 'https://outrigger.example.com',
      MODEL_UPSTREAM_URL: `${test.model.url}/`,
      OPENROUTER_API_KEY: modelKey,
      ...change,
    },
    readFile: () => undefined,
    homeDir: folder,
    uid: 1000,
  });
const diagnoseService = (change: Record<string, string> = {}, url = test.url) => checkService(configured(change), url);
const flaws = (checks: readonly Check[]): string[] =>
  checks
    .filter(({ state }) => state !== 'ok')
    .map(({ state, name, found, remedy }) => `${state} ${name}: ${found} → ${remedy}`);
/** Nobody listens there; port 9 is one that fetch refuses to ask. */
const nowhere = 'http://127.0.0.1:2';

describe('outrigger doctor', () => {
  it('finds all well where service, Coder, gateway and database answer', async () => {
    const checks = await diagnoseService();

    expect(flaws(checks)).toEqual([]);
    expect(exitCodeOf({ subject: '', checks })).toBe(0);
    expect(checks.map(({ name }) => name)).toEqual([
      ...['service', 'public address', 'Coder', 'Coder token', 'model key', 'model gateway', 'database'],
    ]);
  });

  it.each<[string, () => ReturnType<typeof diagnoseService>, string]>([
    [
      'a service that does not run',
      () => diagnoseService({}, nowhere),
      'fail service: nothing answers at http://127.0.0.1:2 (ECONNREFUSED) → outrigger serve',
    ],
    [
      'an address that workspaces cannot reach',
      () => diagnoseService({ OUTRIGGER_URL: 'http://127.0.0.1:7676' }),
      'warn public address: http://127.0.0.1:7676 → OUTRIGGER_URL=',
    ],
    [
      'a Coder that does not answer',
      () => diagnoseService({ CODER_URL: nowhere }),
      'fail Coder: http://127.0.0.1:2 does not answer',
    ],
    [
      'a token that Coder does not know',
      () => diagnoseService({ OUTRIGGER_CODER_TOKEN: `aaaaaaaaaa-${'b'.repeat(22)}` }),
      'fail Coder token: Coder does not take it: unauthenticated → coder login',
    ],
    [
      'a token that may not read workspaces',
      () => diagnoseService({ OUTRIGGER_CODER_TOKEN: test.people.bob.token }),
      'edit-roles bob organization-template-admin -O coder',
    ],
    [
      'a gateway that does not answer',
      () => diagnoseService({ MODEL_UPSTREAM_URL: nowhere }),
      'fail model gateway: http://127.0.0.1:2 does not answer (ECONNREFUSED) → curl',
    ],
    [
      'a missing key',
      () => diagnoseService({ OPENROUTER_API_KEY: '' }),
      'fail model key: OPENROUTER_API_KEY is not set → ',
    ],
    [
      'a database that does not answer',
      () => diagnoseService({ DATABASE_URL: 'postgres://someone:canary@127.0.0.1:2/x' }),
      'fail database: no connection to 127.0.0.1:2/x (ECONNREFUSED) → pg_isready',
    ],
  ])('names %s and what mends it', async (_what, run, expected) => {
    const checks = await run();

    expect(flaws(checks)).toEqual(expect.arrayContaining([expect.stringContaining(expected)]));
    expect(checks.filter(({ state, remedy }) => state !== 'ok' && !remedy)).toEqual([]);
  });

  it('shows no secret, whatever is wrong', async () => {
    const change = {
      CODER_URL: nowhere,
      MODEL_UPSTREAM_URL: nowhere,
      DATABASE_URL: 'postgres://someone:canary@127.0.0.1:2/x',
    };
    const diagnosis = { subject: 'x', checks: [...(await diagnoseService(change)), ...(await diagnoseService())] };

    for (const text of [formatDiagnosis(diagnosis), JSON.stringify(diagnosis)])
      for (const secret of [modelKey, 'canary', test.people.admin.token]) expect(text).not.toContain(secret);
  });

  it('lets nothing that others wrote move the terminal', () => {
    expect(oneLine('a\u001b[2Jb\nc\u009bd')).toBe('a [2Jb c d');
  });
});

describe('outrigger doctor workspace', () => {
  const diagnose = (reference: string, token = test.people.ada.token, serviceUrl = test.url) =>
    checkWorkspace(
      { coder: createClient({ url: test.coder.url, token }), coderUrl: test.coder.url, serviceUrl, token },
      reference,
    );

  it('O-57 exits with 2 and names the remedy until the bridge has registered, then finds all well', async () => {
    const before = await diagnose('ws-123');
    expect(flaws(before.checks)).toEqual([
      expect.stringMatching(
        /^fail bridge: never registered → outrigger doctor workspace ada\/ws-123 --container coder-ada-ws-123/,
      ),
    ]);
    expect(exitCodeOf(before)).toBe(2);

    const bridge = await test.bridge();
    const after = await diagnose('ada/ws-123');
    expect(flaws(after.checks)).toEqual([]);
    expect(after.checks.map(({ name }) => name)).toEqual(['build', 'agent', 'service', 'bridge', 'IDE']);
    bridge.close();
  });

  it('gives the error text of Coder where the build failed, and the command that starts it', async () => {
    const ends = { status: 'failed', error: 'terraform apply: no such image' } as const;
    const { id } = test.coder.addWorkspace({ owner: 'ada', name: 'failed', running: true, ends });
    const { checks } = await diagnose(id);

    expect(flaws(checks)[0]).toBe('fail build: failed: terraform apply: no such image → coder start ada/failed');
  });

  it('names an agent that went away', async () => {
    const { id } = test.coder.addWorkspace({ owner: 'ada', name: 'lost', running: true });
    test.coder.loseAgent(id);

    expect(flaws((await diagnose(id)).checks)[0]).toMatch(
      /^fail agent: Coder’s agent is disconnected → outrigger doctor workspace --container coder-ada-lost/,
    );
  });

  it('shows nobody what they may not see, and says how to find what they may', async () => {
    const { checks } = await diagnose('ada/ws-123', test.people.bob.token);

    expect(flaws(checks)).toEqual([
      expect.stringContaining('fail workspace: Coder knows no ada/ws-123 that you may see → coder list --all'),
    ]);
  });

  it('names a service that does not answer', async () => {
    expect(flaws((await diagnose('ws-123', undefined, nowhere)).checks)).toEqual([
      expect.stringContaining('fail service: nothing answers at http://127.0.0.1:2 (ECONNREFUSED) → outrigger doctor'),
    ]);
  });
});
