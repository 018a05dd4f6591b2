import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { names } from '../../modules/contract.ts';
import { startGitServer, type GitServer } from '../modules/workspace/git-server.ts';
import { eventually } from '../support/clock.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { makeRepository } from '../support/stage/repository.ts';
import { finished } from '../support/coder/simulated-coder.ts';
import type { PlannedResource } from '../support/terraform/docker-template.ts';
import { docker, dockerResult, plannedDocker, type PlannedDocker } from '../support/terraform/planned-docker.ts';
import { workspaceImages } from './images.ts';
import { planWorkspace } from './planned-workspace.ts';
import { workspaceAgent, type Said, type WorkspaceAgent } from './workspace-agent.ts';

/** A task as the service tells of it. */
export interface Task {
  readonly id: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly reason: string | null;
  readonly attempt: number;
  readonly session_id: string;
  readonly evidence: { readonly commit: string | null } | null;
}

export interface RoomOptions {
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly choices?: Readonly<Record<string, string>>;
  /** Files of the repository beside its usual ones. */
  readonly files?: Readonly<Record<string, string>>;
  /** Instead of our default executor. */
  readonly executor?: string;
  /** The executor holds an editor, or a stub of one. */
  readonly hasIde?: boolean;
  /** An image that the owner names in the form. */
  readonly own?: string;
  /** The repository is private: this is the token of the owner's sign-in, and `oauth2` the user. */
  readonly gitToken?: string;
  /** What Coder says where the template asks for the owner's sign-in at a git host. */
  readonly externalAuth?: (id: string) => string;
  /** What Coder's agent sets beside what the template says. */
  readonly agentEnvironment?: Readonly<Record<string, string>>;
  /** User and group of every container instead of the planned ones, as OpenShift gives them. */
  readonly user?: string;
}

/** A running service, and one workspace of the docker template in real containers beside it. */
export interface Room {
  readonly outrigger: TestService;
  readonly workspaceId: string;
  /** An address of this machine that containers reach by `host.docker.internal`. */
  readonly gateway: string;
  readonly git: GitServer;
  /** The repository as a workspace reaches it. */
  readonly repository: string;
  /** Name of a container of the workspace by its name in the template. */
  name(container: string): string;
  /** A start as Coder does it: a new agent, a new plan, the containers, the agent's scripts. */
  start(): Promise<void>;
  /** From the next start on the owner's choices are these. */
  choose(choices: Readonly<Record<string, string>>): void;
  /** Only the containers; `agent().runScripts()` is left to the test. */
  startContainers(): Promise<void>;
  stop(): Promise<void>;
  agent(): WorkspaceAgent;
  /** What Terraform planned for the current build. */
  planned(): readonly PlannedResource[];
  /** The token of the current build's agent; must not leave the worker. */
  agentToken(): string;
  /** A shell command in a container, as its user, outside of any wrapper. */
  sh(container: string, command: string): Promise<Said>;
  /** Everything a container said so far. */
  logs(container: string): Promise<string>;
  /** Answers once the bridge of the current build is connected. */
  connected(): Promise<void>;
  /** Gives the workspace a task of Ada's and answers it when it is finished. */
  task(prompt: string): Promise<Task>;
  /** Containers, networks and volumes of this workspace that exist now. */
  left(): Promise<readonly string[]>;
  end(): Promise<void>;
}

/** OpenCode starts in two seconds, and in minutes where the machine is busy. */
const slowMs = 600_000;

export async function openRoom(options: RoomOptions = {}): Promise<Room> {
  const images = workspaceImages();
  const gateway = await hostAddress(images.opencode);
  const outrigger = await startTestService({ OUTRIGGER_LISTEN: `${gateway}:0` });
  const repositories = mkdtempSync(join(tmpdir(), 'outrigger-docker-'));
  makeRepository(join(repositories, 'users'), options.files);
  const { gitToken = '' } = options;
  const git = await startGitServer(repositories, gitToken === '' ? '' : 'oauth2', gitToken, gateway);
  const { id: workspaceId } = outrigger.workspace;
  const { ada, admin } = outrigger.people;
  const { body } = await outrigger.call(admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
  const secret = (body as { secret: string }).secret;
  const workspaceName = `t-${randomBytes(4).toString('hex')}`;
  const fromInside = (url: string): string => `http://host.docker.internal:${new URL(url).port}`;
  const repository = `${fromInside(git.url)}/users`;
  let containers: PlannedDocker | undefined;
  let planned: readonly PlannedResource[] = [];
  let agent: WorkspaceAgent | undefined;
  let token = '';
  let choices = options.choices ?? {};

  const name = (container: string): string =>
    `coder-ada-${workspaceName}${container === names.containers.worker ? '' : `.${container}`}`;
  const sh = (container: string, command: string): Promise<Said> =>
    dockerResult('exec', name(container), 'sh', '-c', command);

  async function startContainers(): Promise<void> {
    const build = outrigger.coder.buildWorkspace(workspaceId, 'start', { timing: finished });
    token = build.agentToken;
    const resources = await planWorkspace({
      workspaceId,
      workspaceName,
      ownerId: ada.id,
      agentId: build.agentId,
      agentToken: build.agentToken,
      variables: {
        outrigger_url: fromInside(outrigger.url),
        outrigger_secret: secret,
        // The repository's server runs on this machine.
        egress_private_cidrs: [`${gateway}/32`],
        ...options.variables,
      },
      choices: { git_repository: repository, ...choices },
      images: { ...images, executor: options.executor ?? images.executor, own: options.own },
      externalAuth: options.externalAuth,
      hasIde: options.hasIde,
    });
    planned = options.user === undefined ? resources : resources.map((one) => asUser(one, options.user));
    containers = plannedDocker(planned);
    agent = workspaceAgent(planned, name(names.containers.worker), options.agentEnvironment);
    await containers.start();
  }

  function currentAgent(): WorkspaceAgent {
    if (agent === undefined) throw new Error('The workspace was never started.');
    return agent;
  }

  return {
    outrigger,
    workspaceId,
    gateway,
    git,
    repository,
    planned: () => planned,
    name,
    startContainers,
    sh,
    agent: currentAgent,
    agentToken: () => token,
    choose: (next) => void (choices = next),
    async start() {
      await startContainers();
      const ended = await currentAgent().runScripts();
      const failed = Object.entries(ended).filter(([, { code }]) => code !== 0);
      if (failed.length > 0) throw new Error(JSON.stringify(failed));
    },
    async stop() {
      await containers?.stop();
      outrigger.coder.buildWorkspace(workspaceId, 'stop', { timing: finished });
    },
    async logs(container) {
      const { stdout, stderr } = await dockerResult('logs', name(container));
      return stdout + stderr;
    },
    async connected() {
      await eventually(
        'the bridge to connect',
        async () => {
          const seen = await outrigger.call(ada, 'GET', `/api/v2/agents/workspaces/${workspaceId}`);
          return (seen.body as { bridge: { connected: boolean } | null }).bridge?.connected;
        },
        slowMs,
      );
    },
    async task(prompt) {
      const context = { workspace_id: workspaceId };
      const given = await outrigger.call(ada, 'POST', '/api/v2/agents/opencode/tasks', {
        type: 'opencode',
        payload: { action: 'generate_code', prompt, context },
      });
      if (given.status >= 300) throw new Error(JSON.stringify(given.body));
      const { id } = given.body as { id: string };
      return await eventually(
        `the task "${prompt}" to finish`,
        async () => {
          const { body: task } = await outrigger.call(ada, 'GET', `/api/v2/agents/tasks/${id}`);
          return (task as Task).state === 'finished' ? (task as Task) : undefined;
        },
        slowMs,
      );
    },
    left: () => ofWorkspace(workspaceId),
    async end() {
      await containers?.remove();
      await git.close();
      await outrigger.stop();
      rmSync(repositories, { recursive: true, force: true });
    },
  };
}

function asUser(resource: PlannedResource, user: string | undefined): PlannedResource {
  return resource.type === 'docker_container' ? { ...resource, values: { ...resource.values, user } } : resource;
}

/** Where containers find this machine: what Docker makes of `host-gateway`. */
async function hostAddress(image: string): Promise<string> {
  const hosts = await docker(
    'run',
    '--rm',
    '--add-host',
    'here:host-gateway',
    '--entrypoint',
    'cat',
    image,
    '/etc/hosts',
  );
  const address = /^(\S+)\s+here$/m.exec(hosts)?.[1];
  if (address === undefined)
    throw new Error('Docker does not know the address of its host. Use Docker 20.10 or newer.');
  return address;
}

/** Found by the label that every resource of a workspace bears. */
async function ofWorkspace(id: string): Promise<readonly string[]> {
  const filter = ['--filter', `label=coder.workspace_id=${id}`, '--format'];
  const found = await Promise.all([
    docker('ps', '--all', ...filter, '{{.Names}}'),
    docker('network', 'ls', ...filter, '{{.Name}}'),
    docker('volume', 'ls', ...filter, '{{.Name}}'),
  ]);
  return found.flatMap((lines) => lines.split('\n')).filter((line) => line !== '');
}
