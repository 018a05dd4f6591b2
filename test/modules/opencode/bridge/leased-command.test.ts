import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Evidence, Lease, LeaseCommand } from '../../../../modules/contract.ts';
import { nixActions } from '../../../../service/agents/nix/nix-actions.ts';
import { judge } from '../../../../service/tasks/judge.ts';
import { aLease, installTools, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

const flake = `{
  outputs = { self }: let
    each = f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) [ "x86_64-linux" "aarch64-linux" ]);
    made = name: text: system: derivation { inherit name system; builder = "/bin/sh"; args = [ "-c" text ]; };
  in {
    packages = each (system: {
      default = made "greeting" "echo hello > $out" system;
      broken = made "broken" "echo this cannot be built >&2; exit 7" system;
    });
    checks = each (system: { greets = made "greets" "echo fine > $out" system; });
    apps = each (system: { default = { type = "app"; program = "\${made "tool" "echo '#!/bin/sh' > $out; echo 'echo it ran with $1' >> $out; /bin/chmod +x $out" system}"; }; });
  };
}
`;
const commandOf = (action: string, params: object = {}): LeaseCommand => {
  const command = nixActions.find(({ name }) => name === action)?.command;
  if (!command) throw new Error(`${action} has no command`);
  return command(params);
};

let tools: Tools;
let world: World;
let bin: string;

beforeAll(async () => {
  tools = await installTools();
  bin = mkdtempSync(join(tmpdir(), 'outrigger-bin-'));
  chmodSync(bin, 0o755);
});
afterAll(() => {
  tools.remove();
  rmSync(bin, { recursive: true, force: true });
});
afterEach(async () => {
  expect(await world.end()).toEqual([]);
});

const program = (name: string, text: string): void =>
  writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
const begin = async (): Promise<void> => {
  world = await startWorld({
    tools,
    files: { 'flake.nix': flake },
    environment: () => ({ PATH: `${bin}:/usr/local/bin:/usr/bin:/bin` }),
  });
};
const offer = (command: LeaseCommand, more: Partial<Lease> = {}): Lease => {
  const lease = aLease('SCENARIO:text', { profile: 'trusted', command, ...more });
  world.service.offer(lease);
  return lease;
};
const resultOf = (lease: Lease): Promise<Evidence> => until('the result', () => world.service.resultOf(lease), 120_000);
const outcomeOf = (evidence: Evidence) => judge({ evidence, stopReason: null, isVerifyAsked: false });

describe('a lease with a command', () => {
  beforeEach(async () => {
    program(
      'nix',
      'printf "%s\\n" "$@" "in:" * "home: $HOME" "$TASK_NAME"; echo kept > made; [ "$1" != run ] || exit 7',
    );
    await begin();
  });

  it('is run on a checkout of its own, without a shell and without a model', async () => {
    const evidence = await resultOf(offer(commandOf('nix_develop_run', { argv: ['make', '$(id) && a b'] })));

    expect(evidence).toMatchObject({
      command: { exit: 0, timed_out: false },
      failure: null,
      diff: { files: 0 },
      commit: null,
      tool_exits: [{ tool: 'nix', exit: 0 }],
    });
    expect(evidence.last_message?.text).toMatch(
      /^develop\n--no-write-lock-file\n--print-build-logs\n\.\n--command\nmake\n\$\(id\) && a b\nin:\nflake\.nix\nhome: \S+\/verify-\w+\/home\nDo the thing\n$/,
    );
    expect(outcomeOf(evidence)).toMatchObject({ outcome: 'succeeded' });
    expect(world.service.modelTokens.size).toBe(0);
    expect(world.service.registrations[0]).toMatchObject({ capabilities: expect.arrayContaining(['command']) });
  });

  it('fails when the command fails', async () => {
    const evidence = await resultOf(offer(commandOf('nix_run', { attribute: 'tool', arguments: ['--help'] })));

    expect(outcomeOf(evidence)).toEqual({
      outcome: 'failed',
      reason: 'AgentError',
      message: 'The command exited with 7.',
      retryable: false,
    });
  });

  it('runs only once a person has seen it, unless the task is trusted', async () => {
    const { service } = world;
    const asked = offer(commandOf('nix_build'), { profile: 'ask' });
    const ask = await until('the ask', () => service.asks[0]);
    expect(ask).toMatchObject({
      kind: 'permission',
      title: expect.stringMatching(/^Run: nix build .* \.$/),
      detail: { argv: ['nix', ...commandOf('nix_build').arguments], commit: world.workspace.git('rev-parse', 'HEAD') },
    });
    await service.decide(ask, 'reject');

    const refused = [await resultOf(asked), await resultOf(offer(commandOf('nix_build'), { profile: 'read-only' }))];
    for (const evidence of refused) {
      expect(evidence.command).toBeUndefined();
      expect(outcomeOf(evidence)).toMatchObject({ outcome: 'failed', reason: 'ApprovalRejected' });
    }
    expect(service.asks).toHaveLength(1);
  });

  it('is no other program than those the bridge knows', async () => {
    const evidence = await resultOf(offer({ program: 'sh' as 'nix', arguments: ['-c', 'true'] }));

    expect(evidence).toMatchObject({ failure: { reason: 'ContextError', message: 'This bridge does not run sh.' } });
  });

  it('is stopped with everything that it started', async () => {
    program('nix', 'sleep 86399 & exec sleep 86399');
    const lease = offer(commandOf('nix_flake_check'));
    await until('the start', () => world.service.eventsOf(lease).find(({ type }) => type === 'tool.started'));
    const answer = await world.service.send('stop', {
      task_id: lease.task_id,
      attempt: lease.attempt,
      reason: 'UserStopped',
    });

    expect(answer).toMatchObject({ success: true, data: { receipt: { processes_left: 0, tokens_after_stop: 0 } } });
  });

  it('fails where the image has no such program', async () => {
    rmSync(join(bin, 'nix'));
    await world.end();
    world = await startWorld({ tools, environment: () => ({ PATH: bin }) });
    for (const name of ['git', 'sh']) program(name, `exec /usr/bin/${name} "$@"`);
    const evidence = await resultOf(offer(commandOf('nix_build')));
    for (const name of ['git', 'sh']) rmSync(join(bin, name));

    expect(evidence.failure).toMatchObject({
      reason: 'ContextError',
      message: expect.stringContaining('There is no nix in the image'),
    });
  });
});

const hasNix = spawnSync('nix', ['--version']).status === 0;
(hasNix ? describe : describe.skip)('real Nix (part of S-07)', () => {
  it('builds, checks and runs the flake of the repository in a store of the task', async () => {
    rmSync(join(bin, 'nix'), { force: true });
    // As where the usual seccomp profile refuses user namespaces.
    program('unshare', 'exit 1');
    await begin();
    const built = offer(commandOf('nix_build'));
    expect((await resultOf(built)).last_message?.text).toMatch(
      new RegExp(`"out":"${world.workspace.agentDir}/tasks/${built.task_id}/nix/store/[^"]+-greeting"`),
    );
    expect(JSON.stringify(world.service.eventsOf(built))).toContain('without a binary cache');

    const broken = await resultOf(offer(commandOf('nix_build', { attribute: 'broken' })));
    expect(broken.last_message?.text).toContain('this cannot be built');
    expect(outcomeOf(broken)).toMatchObject({ outcome: 'failed', reason: 'AgentError' });
    expect(outcomeOf(await resultOf(offer(commandOf('nix_flake_check'))))).toMatchObject({ outcome: 'succeeded' });
    const ran = await resultOf(offer(commandOf('nix_run', { arguments: ['care'] })));
    expect(ran.last_message?.text).toContain('it ran with care');
  }, 300_000);
});
