import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { executorNames } from '../../scripts/template-images.ts';
import { layerOn, nixExecutor, removeImages, withDockerAtLength } from '../docker/images.ts';
import { openRoom, type Room } from '../docker/room.ts';
import type { Said } from '../docker/workspace-agent.ts';
import { eventually } from '../support/clock.ts';
import { docker, dockerResult } from '../support/terraform/planned-docker.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const minutes = 60_000;
jest.setTimeout(10 * minutes);

const fixture = readFileSync(new URL('../fixtures/nix/workspace.nix', import.meta.url), 'utf8');
const owners = `{ pkgs ? import <nixpkgs> {} }:
pkgs.mkShell { packages = [ pkgs.cargo ]; GREETING = "it's \${"mine"}"; }
`;
const shownFile = '/workspace/.outrigger/workspace.nix';
const look = 'which rustc; rustc';
const ofNix = /^\/nix\/store\/[a-z0-9]{32}-rustc\/bin\/rustc\nrustc of Nix\n/;
const names = 'printenv NIX_CONFIG; printenv WORKSPACE_NIX_FILE; printenv WORKSPACE_NIX';
const named = (text: string): string => `${shownFile}\n${text.trimEnd()}\n`;

withDockerAtLength('Nix in real containers', () => {
  /** The image as people build it, and the same with packages that need no network. */
  let nix: string;
  let offline: string;
  beforeAll(() => {
    nix = nixExecutor();
    offline = layerOn(nix, 'nix-offline', 'test/images/nix/Dockerfile');
  }, 30 * minutes);
  afterAll(removeImages);

  const inside = (user: string, line: string): Promise<Said> => {
    const closed = ['--network', 'none', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];
    return dockerResult('run', '--rm', ...closed, '--user', user, offline, 'sh', '-c', line);
  };

  it('P-27 the nix image is an executor as devbox and code-server are: it passes the doctor, and Nix builds in it without root', async () => {
    const doctor = ['scripts/outrigger.mjs', 'executor', 'doctor', nix];
    const { status, stdout } = spawnSync(process.execPath, doctor, { cwd: root, encoding: 'utf8' });

    expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining('keeps every rule') });
    expect(executorNames).toEqual(expect.arrayContaining(['nix', 'devbox', 'code-server']));
    expect(await docker('image', 'inspect', '--format', '{{.Config.User}}', nix)).toBe('1000:0');
    expect(Number(await docker('image', 'inspect', '--format', '{{.Size}}', nix))).toBeLessThanOrEqual(600_000_000);
    for (const user of ['1000:0', '100012345:0'])
      expect(
        await inside(user, `nix --version && $(nix-build --no-out-link '<nixpkgs>' -A rustc)/bin/rustc`),
      ).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^nix \(Nix\) 2\.8\.\d+\nrustc of Nix\n$/),
      });
  });

  describe('a workspace of the docker template', () => {
    let room: Room;
    let scripts: Readonly<Record<string, Said>>;
    /** What the agent's shell finds; OpenCode starts slowly, so it is asked once. */
    let agentFound: Promise<string>;
    beforeAll(async () => {
      room = await openRoom({ executor: offline, hasIde: true, files: { 'workspace.nix': fixture } });
      await start();
      agentFound = agentSays(`${look}; ${names}`);
      agentFound.catch(() => undefined);
    });
    afterAll(async () => {
      await (room as Room | undefined)?.end();
    });

    async function start(): Promise<void> {
      await room.startContainers();
      scripts = await room.agent().runScripts();
    }
    async function worker(command: string): Promise<string> {
      return (await room.agent().run('sh', '-c', command)).stdout;
    }

    /** What a command of the agent's shell tool says; the person allows it. */
    async function agentSays(command: string): Promise<string> {
      await room.connected();
      const { outrigger } = room;
      const { ada } = outrigger.people;
      const approvals = '/api/v2/agents/approvals';
      let isOver = false;
      const running = room.task(`SCENARIO:bash ARG:{ ${command}; } > said.txt 2>&1`).finally(() => (isOver = true));
      const allowed = async (): Promise<boolean> => {
        const { body } = await outrigger.call(ada, 'GET', `${approvals}?state=pending`);
        const [asked] = (body as { items: readonly { id: string }[] }).items;
        if (asked !== undefined)
          await outrigger.call(ada, 'POST', `${approvals}/${asked.id}/decision`, { decision: 'once' });
        return asked !== undefined || isOver;
      };
      const [task] = await Promise.all([running, eventually('the question', allowed, 8 * minutes)]);
      if (!task.evidence?.commit) throw new Error(`The agent did nothing: ${String(task.reason)}.`);
      const shown = ['git', '-C', '/workspace/users', 'show', `${task.evidence.commit}:said.txt`];
      return (await room.agent().run(...shown)).stdout;
    }

    /** The environment in which the helper starts the IDE. */
    async function environmentOfIde(): Promise<Readonly<Record<string, string>>> {
      const { outrigger, workspaceId } = room;
      const path = `/api/v2/agents/workspaces/${workspaceId}/ide`;
      await outrigger.call(outrigger.people.ada, 'POST', path);
      const ready = async () => (await outrigger.call(outrigger.people.ada, 'GET', path)).body.idePhase === 'Ready';
      await eventually('the IDE', ready, 8 * minutes);
      const { environment } = JSON.parse(await worker('cat /tmp/stub.start')) as {
        environment: Record<string, string>;
      };
      return environment;
    }

    it('P-29 has its workspace.nix in force in the shell of OpenCode, in terminals and in the IDE', async () => {
      expect(scripts['workspace.nix']?.stdout).toContain(
        "the repository's workspace.nix is in force in every new shell",
      );
      expect(await agentFound).toMatch(ofNix);
      expect(await worker(look)).toMatch(ofNix);
      // Coder's terminals are shells that no wrapper of ours begins.
      for (const shell of ['bash -ic', 'bash -lc', 'zsh -ic', 'zsh -lc'])
        expect([shell, (await room.sh('worker', `${shell} '${look}'`)).stdout]).toEqual([
          shell,
          expect.stringMatching(ofNix),
        ]);
      const { PATH = '' } = await environmentOfIde();
      expect((await room.sh('worker', `PATH='${PATH}'; ${look}`)).stdout).toMatch(ofNix);
      expect(PATH).toMatch(/^\/tools:/);
    });

    it('P-28 takes a workspace.nix from the root of the repository, leaves the repository as it is, and warns of nodejs-18_x', async () => {
      const parsed = await room.agent().run('nix-instantiate', '--parse', '/workspace/users/workspace.nix');

      expect(parsed).toMatchObject({ code: 0, stdout: expect.stringContaining('nodejs-18_x') });
      expect(await worker('cat /workspace/users/workspace.nix')).toBe(fixture);
      expect(await worker('node; python3; cargo')).toBe('node of Nix\npython3 of Nix\ncargo of Nix\n');
      expect(scripts['workspace.nix']?.stdout).toContain('warning: nodejs-18_x is at its end of life');
      expect(await worker('git -C /workspace/users status --porcelain --ignored')).toBe('');
    });

    it('P-30 names the text WORKSPACE_NIX and its file WORKSPACE_NIX_FILE everywhere, and nothing NIX_CONFIG', async () => {
      const { WORKSPACE_NIX: text, WORKSPACE_NIX_FILE: file, ...others } = await environmentOfIde();

      expect((await agentFound).replace(ofNix, '')).toBe(named(fixture));
      expect(await worker(names)).toBe(named(fixture));
      expect({ text, file }).toEqual({ text: fixture.trimEnd(), file: shownFile });
      expect(others).not.toHaveProperty('NIX_CONFIG');
      expect(await worker(`cat ${shownFile}`)).toBe(fixture);
      for (const container of ['worker', 'opencode'])
        expect(await docker('inspect', '--format', '{{json .Config.Env}}', room.name(container))).not.toMatch(
          /NIX_CONFIG|mkShell/,
        );
    });

    it("P-28 P-30 takes the owner's text of the parameter nix_config instead, character by character", async () => {
      await room.stop();
      room.choose({ nix_config: owners });
      await start();

      expect(scripts['workspace.nix']?.stdout).toContain('the environment of the parameter nix_config is in force');
      const ask = `printenv GREETING; cargo; command -v rustc; ${names}`;
      const said = `it's mine\ncargo of Nix\n${named(owners)}`;
      expect(await worker(ask)).toBe(said);
      expect(await agentSays(ask)).toBe(said);
      expect(await worker('cat /workspace/users/workspace.nix')).toBe(fixture);
    });
  });
});
