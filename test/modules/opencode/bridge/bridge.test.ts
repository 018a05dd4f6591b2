import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  aLease,
  installTools,
  makeWorkspace,
  processesOf,
  startBridgeProcess,
  until,
  type BridgeProcess,
  type TestWorkspace,
  type Tools,
} from '../../../support/bridge/bridge-process.ts';
import { startFakeService, type FakeService } from '../../../support/bridge/fake-service.ts';
import { startScriptedModel, type ScriptedModel } from '../../../support/model/scripted-model.ts';

let tools: Tools;
let model: ScriptedModel;
let service: FakeService;
let workspace: TestWorkspace;
let bridge: BridgeProcess;

beforeAll(async () => {
  tools = await installTools();
});
afterAll(() => tools.remove());
beforeEach(async () => {
  model = await startScriptedModel();
  service = await startFakeService({ modelUrl: model.url });
  workspace = makeWorkspace();
  bridge = startBridgeProcess({ service, tools, workspace });
});
afterEach(async () => {
  bridge.kill('SIGTERM');
  await bridge.exited;
  const left = processesOf(tools.directory, workspace.directory);
  await service.close();
  await model.close();
  workspace.remove();
  expect(left).toEqual([]);
});

describe('P-04 an attempt with the real OpenCode', () => {
  it('edits a file, runs an approved command, commits, verifies after approval and reports the evidence', async () => {
    const lease = aLease('SCENARIO:bash ARG:echo made by a tool > made.txt && exit 3', {
      verify: {
        argv: ['/bin/sh', '-c', 'cat made.txt; echo "task $TASK_NAME"; env | grep -c OUTRIGGER_'],
        timeout_seconds: 20,
      },
    });

    service.offer(lease);
    const ask = await until('the bash ask', () => service.asks[0]);
    await service.decide(ask, 'once');
    const verifyAsk = await until('the verify ask', () => service.asks[1]);
    await service.decide(verifyAsk, 'once');
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(ask).toMatchObject({ kind: 'permission', detail: { command: 'echo made by a tool > made.txt && exit 3' } });
    expect(verifyAsk).toMatchObject({ kind: 'verify', detail: { patch: expect.stringContaining('+made by a tool') } });
    expect(evidence).toMatchObject({
      last_message: { finish: 'stop', error: null, text: 'All done here.' },
      tool_exits: [{ tool: 'bash', status: 'completed', exit: 3 }],
      rejected_asks: 0,
      diff: { files: 1, additions: 1, deletions: 0 },
      changed_files: ['made.txt'],
      branch: lease.branch,
      verify: { exit: 1, timed_out: false, output: 'made by a tool\ntask Do the thing\n0\n' },
      verify_rejected: false,
      failure: null,
      stop: null,
    });
    expect(workspace.git('log', '-1', '--format=%an <%ae>%n%B', lease.branch)).toBe(
      `Ada Agent <ada@example.com>\nDo the thing\n\nAgent-Task: ${lease.task_id}`,
    );
    expect(workspace.git('rev-parse', lease.branch)).toBe(evidence.commit);
    expect(service.eventsOf(lease).map(({ type }) => type)).toEqual([
      'session.opened',
      'prompt.sent',
      'tool.started',
      'tool.finished',
      'message.text',
      'commit.created',
      'verify.started',
      'verify.finished',
    ]);
    expect([...service.modelTokens]).toEqual([lease.task_token]);
    for (const file of ['task.md', `.outrigger/tasks/${lease.task_id}/task.md`]) {
      expect(readFileSync(join(workspace.directory, file), 'utf8')).toBe(lease.prompt);
      expect(statSync(join(workspace.directory, file)).mode & 0o777).toBe(0o444);
    }
  });
});
