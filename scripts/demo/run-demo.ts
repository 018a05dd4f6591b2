import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { git, makeRepository } from '../../test/support/stage/repository.ts';
import { makeApi } from '../../test/support/stage/api.ts';
import { fullStackFeature } from '../../test/support/stage/plays.ts';
import { inLog } from '../../test/support/stage/processes.ts';
import { makeStage, openCodeBinary, type Stage } from '../../test/support/stage/stage.ts';
import { formatVerification, runAuditVerify } from '../audit.ts';
import { buildBridge } from '../build-bridge.ts';
import { faultsOf, workflowTable } from './report.ts';
import { DemoPrerequisite, openCoder, openModel, type DemoCoder, type DemoModel } from './sides.ts';
import { watchWorkflow, type WorkflowAnswer } from './watch.ts';

export interface DemoOptions {
  readonly keep: boolean;
  readonly tell: (line: string) => void;
}

const root = join(import.meta.dirname, '..', '..');
/** The whole demo; a step that hangs must not keep a terminal for ever. */
const patienceMs = 10 * 60_000;

/** Runs the demo and cleans up, also after Ctrl-C. Answers the exit code: 0 · 1 · 2 · 143. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const startedAt = performance.now();
  const tell = (line: string): void =>
    options.tell(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)}s  ${line}`);
  const abort = new AbortController();
  const cleanups = makeCleanups();
  const interrupted = (): void => abort.abort(new Error('interrupted'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  const patience = setTimeout(() => abort.abort(new Error('the demo took longer than ten minutes')), patienceMs);
  try {
    return await Promise.race([play(options, tell, abort.signal, cleanups), rejectOn(abort.signal)]);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    tell(`✗ ${message}`);
    if (error instanceof DemoPrerequisite) return 2;
    return message === 'interrupted' ? 143 : 1;
  } finally {
    clearTimeout(patience);
    tell('cleaning up');
    await cleanups.run();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
  }
}

type Cleanup = () => Promise<unknown>;
interface Cleanups {
  /** Registered after `run`, a cleanup runs at once: what was still starting ends too. */
  add(cleanup: Cleanup): void;
  run(): Promise<void>;
}

function makeCleanups(): Cleanups {
  const waiting: Cleanup[] = [];
  let hasRun = false;
  const quietly = (cleanup: Cleanup): Promise<unknown> => cleanup().catch(() => undefined);
  return {
    add: (cleanup) => void (hasRun ? quietly(cleanup) : waiting.push(cleanup)),
    async run() {
      hasRun = true;
      for (const cleanup of waiting.reverse()) await quietly(cleanup);
    },
  };
}

const rejectOn = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
  );

async function play(
  options: DemoOptions,
  tell: (line: string) => void,
  signal: AbortSignal,
  cleanups: Cleanups,
): Promise<number> {
  if (!existsSync(openCodeBinary())) throw new DemoPrerequisite('OpenCode is not installed. Run npm ci first.');
  tell('bundling the bridge');
  await buildBridge(join(root, 'dist', 'bridge.js'));
  const coder = await openCoder(process.env);
  cleanups.add(() => coder.close());
  const model = await openModel(process.env);
  cleanups.add(() => model.close());
  sayWhatIsReal(coder, model, tell);

  const stage = makeStage({ coder: coder.side, model, slots: 2 });
  cleanups.add(() => stage.end({ keep: options.keep }));
  await prepare(stage, coder, tell);
  const api = makeApi(() => stage.serviceUrl, coder.personToken);
  const { id } = await api.post<{ id: string }>(
    '/api/v2/agents/agentzero/workflows',
    fullStackFeature(coder.side.workspaceId),
    { 'Idempotency-Key': stage.directory },
  );
  tell(`workflow submitted: POST /api/v2/agents/agentzero/workflows → 201 ${id}`);
  const { workflow, decided } = await watchWorkflow(api, id, tell, signal);
  return report(stage, workflow, decided, coder, model, tell);
}

function sayWhatIsReal(coder: DemoCoder, model: DemoModel, tell: (line: string) => void): void {
  tell(coder.isReal ? `Coder: real, ${coder.side.url}` : `Coder: SIMULATED, ${coder.side.url}`);
  tell(model.isReal ? `model: real, ${model.name} at ${model.url}` : `model: SCRIPTED, ${model.url}`);
}

async function prepare(stage: Stage, coder: DemoCoder, tell: (line: string) => void): Promise<void> {
  makeRepository(stage.repositoryDir);
  tell(`repository with a failing test: ${stage.repositoryDir}`);
  tell('starting the service with its own Postgres');
  await stage.startService();
  tell(`service ready: ${stage.serviceUrl}`);
  const admin = makeApi(() => stage.serviceUrl, coder.adminToken);
  const { secret } = await admin.post<{ secret: string }>('/api/v2/agents/templates/docker/secrets', {});
  stage.startBridge(secret);
  await stage.bridge()?.line(inLog('registered', 'protocol_version'));
  tell('the bridge of the workspace has registered with its derived proof');
}

async function report(
  stage: Stage,
  workflow: WorkflowAnswer,
  decided: number,
  coder: DemoCoder,
  model: DemoModel,
  tell: (line: string) => void,
): Promise<number> {
  tell('');
  for (const line of workflowTable(workflow).split('\n')) tell(line);
  const last = workflow.steps.at(-1);
  if (last?.branch && last.commit) {
    tell(`commits on ${last.branch}:`);
    for (const line of git(stage.repositoryDir, 'log', '--oneline', `main..${last.commit}`).split('\n'))
      tell(`  ${line}`);
  }
  const faults = [...faultsOf(workflow)];
  if (decided === 0) faults.push('no question was asked, so none was decided');
  const audit = await runAuditVerify({ dataDir: stage.dataDir });
  for (const line of formatVerification(audit)) tell(line);
  if (!audit.ok || audit.events === 0) faults.push('the audit does not verify');
  if (!coder.isReal) tell('Coder was simulated: set CODER_URL and CODER_SESSION_TOKEN to use a real one.');
  if (!model.isReal) tell('The model was scripted: set OPENROUTER_API_KEY to use a real one.');
  for (const fault of faults) tell(`✗ ${fault}`);
  tell(faults.length === 0 ? '✓ every step did what it should' : `✗ ${faults.length} things went wrong`);
  return faults.length === 0 ? 0 : 1;
}
