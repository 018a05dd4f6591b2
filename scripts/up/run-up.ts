import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from 'coder-sdk-ts';
import { loadConfig, type Config, type ConfigSources } from '../../service/config.ts';
import { findTemplate } from '../coder-failure.ts';
import { CommandFailure } from '../command-failure.ts';
import type { PushedTemplate } from '../push-template.ts';
import { readText, type Surroundings } from '../template-context.ts';
import { lockFileName, readLock, type Lock } from '../template-images.ts';
import { runPush, type Rendering } from '../template-push.ts';
import { chooseAddress, isThisMachine, type Address, type Machine } from './address.ts';
import { checkCoder, checkServiceToken, type JoinedCoder } from './check-coder.ts';
import { bridgeAddress, openDocker } from './docker.ts';
import { localImages } from './images.ts';
import { findOrStartService, type RunningService } from './service.ts';
import { makeStep } from './steps.ts';
import { connectedBridge, finishTask, type FinishedTask } from './task.ts';
import { runningWorkspace } from './workspace.ts';

export interface UpFlags {
  readonly coder?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly url?: string;
  readonly port: string;
  readonly organization?: string;
  readonly workspace: string;
  readonly repository: string;
  readonly prompt: string;
  readonly imagesLock?: string;
  readonly rebuild?: boolean;
  readonly config?: string;
}

export interface UpAround extends Omit<Surroundings, 'config'> {
  readonly environment: NodeJS.ProcessEnv;
  /** Where files of configuration are looked for. */
  readonly files: Pick<ConfigSources, 'readFile' | 'homeDir' | 'uid'>;
  readonly rendering: Rendering;
  readonly machine: Machine;
  /** Undefined where nobody is there to be asked. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
}

export interface Joined {
  readonly service: RunningService;
  readonly template: PushedTemplate;
  readonly workspace: { readonly id: string; readonly name: string };
  readonly task: FinishedTask;
}

const root = join(import.meta.dirname, '..', '..');
const buildMs = 300_000;
const taskMs = 600_000;

/**
 * Joins a Coder: from its address and a token to a task that one of its workspaces has finished.
 *
 * Again    what is there already is found and kept: the service, the images, the template, the workspace; the task is a
 *          new one each time.
 * Errors   `CommandFailure` with the step's own sentence and what mends it. Nothing is undone: a run goes on where the
 *          one before it stopped. A token is in no line.
 */
export async function runUp(flags: UpFlags, around: UpAround): Promise<Joined> {
  const { clock, machine } = around;
  const port = readPort(flags.port);
  const config = readConfig(flags, around);
  const step = makeStep(around);
  const coder = await step(
    'Coder',
    () => joinCoder(config, flags.organization),
    ({ version, user, organization }) => `${version}, as ${user.username}, organization ${organization.name}`,
  );
  const isCoderHere = await isThisMachine(coder.url, machine);
  const address = await step(
    'Address',
    (say) =>
      chooseAddress({
        ...{ coderUrl: coder.url, isCoderHere, port, machine, ask: around.ask, say },
        given: flags.url ?? config.publicUrl,
        isInsecureAllowed: config.allowInsecureHttp,
        gateway: async () => await bridgeAddress(await openDocker(around.signal), machine),
      }),
    ({ url }) => `workspaces reach Outrigger at ${url}`,
  );
  const lock = readLock(flags.imagesLock ?? join(root, lockFileName), flags.imagesLock !== undefined);
  if (lock === null && !isCoderHere) throw noLock(coder.url);
  const service = await step(
    'Service',
    (say) => openService({ flags, around, config, coder, address, say }),
    ({ started }) =>
      started === null ? 'it runs already' : `started as process ${started.pid}, with its log in ${started.log}`,
  );
  const images = await step('Images', (say) => chooseImages(lock, flags, around, say), imagesSummary);
  const template = await step(
    'Template',
    (say) => push({ flags, around, config, coder, address, images, say, isTokenSafe: address.listen !== null }),
    ({ version, changed }) => `docker, version ${version}${changed ? '' : ', as it was'}`,
  );
  const patience = { clock, signal: around.signal, pollMs: around.pollMs, timeoutMs: buildMs };
  const workspace = await step(
    'Workspace',
    (say) =>
      runningWorkspace({
        ...{ ...patience, coder, say, name: flags.workspace },
        template: { id: template.template_id, version: template.version_id },
        choices: { git_repository: flags.repository },
      }),
    ({ name }) => `${coder.user.username}/${name} runs`,
  );
  const named = { id: workspace.id, name: workspace.name, owner: coder.user.username };
  const given = (say: (line: string) => void) => ({
    ...{ ...patience, say, url: service.url, token: coder.token, workspace: named },
  });
  await step(
    'Agent',
    (say) => connectedBridge(given(say)),
    () => 'connected',
  );
  const task = await step(
    'Task',
    (say) => finishTask({ ...given(say), timeoutMs: taskMs }, flags.prompt),
    ({ evidence }) => `succeeded${evidence?.commit ? `, commit ${evidence.commit.slice(0, 10)}` : ''}`,
  );
  return { service, template, workspace: { id: workspace.id, name: workspace.name }, task };
}

function readPort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port <= 65_535) return port;
  throw new CommandFailure(2, '--port is a number from 1 to 65535.');
}

/** The configuration with what the command line says over it. */
function readConfig(flags: UpFlags, { environment, files, tell }: UpAround): Config {
  if (flags.token !== undefined && flags.tokenFile !== undefined)
    throw new CommandFailure(2, 'Give --token or --token-file, not both.');
  if (flags.token !== undefined)
    tell('Warning: others on this machine can read a command line. CODER_SESSION_TOKEN and --token-file are safer.');
  const token = flags.tokenFile === undefined ? flags.token : readText(flags.tokenFile).trim();
  const { CODER_SESSION_TOKEN_FILE: file, ...rest } = environment;
  const config = loadConfig({
    environment: {
      ...rest,
      ...(flags.coder === undefined ? {} : { CODER_URL: flags.coder }),
      ...(token !== undefined
        ? { CODER_SESSION_TOKEN: token }
        : file === undefined
          ? {}
          : { CODER_SESSION_TOKEN_FILE: file }),
    },
    ...files,
    configFile: flags.config,
  });
  if (!config.coder.isConfigured)
    throw new CommandFailure(2, 'Which Coder? Add --coder https://coder.example.com, or set CODER_URL.');
  if (config.coder.sessionToken === undefined)
    throw new CommandFailure(
      2,
      `Who asks? Set CODER_SESSION_TOKEN, or name a file that holds a token with --token-file; \`coder login ${config.coder.url}\` and \`coder tokens create\` make one.`,
    );
  return config;
}

async function joinCoder({ coder }: Config, organization: string | undefined): Promise<JoinedCoder> {
  const { url, sessionToken: token = '', timeoutSeconds } = coder;
  const client = createClient({ url, token, timeoutMs: timeoutSeconds * 1000 });
  return await checkCoder({ client, url: url.replace(/\/+$/, ''), token, organization });
}

const noLock = (coderUrl: string): CommandFailure =>
  new CommandFailure(
    2,
    `Workspaces run where Coder (${coderUrl}) runs them, so the images must be in a registry that it reaches. Build and push them ` +
      '(IMG_REGISTRY=registry.example.com IMG_ORG=team VERSION=1.0.0 AGENT=opencode make build, docker push; the same with AGENT=base), ' +
      `then \`outrigger template lock opencode base\` with the same settings writes ${lockFileName}, and this command takes it.`,
  );

interface Given {
  readonly flags: UpFlags;
  readonly around: UpAround;
  readonly config: Config;
  readonly coder: JoinedCoder;
  readonly address: Address;
  readonly say: (line: string) => void;
}

const openService = ({ flags, around, config, coder, address, say }: Given): Promise<RunningService> =>
  findOrStartService({
    ...{ address, config, clock: around.clock, signal: around.signal, pollMs: around.pollMs },
    configFile: flags.config,
    coderUrl: coder.url,
    environment: around.environment,
    async serviceToken() {
      const own = config.coder.serviceToken;
      const { username, advice } = await checkServiceToken(coder, own ?? coder.token);
      if (own === undefined)
        say(`it asks Coder with your token (${username}); give it one of its own with OUTRIGGER_CODER_TOKEN_FILE`);
      if (advice !== null) say(advice);
      return own ?? coder.token;
    },
  });

type Chosen = { readonly opencode: string; readonly executor: string } | null;

/** Null: the lock says which images. */
async function chooseImages(
  lock: Lock | null,
  flags: UpFlags,
  around: UpAround,
  say: (line: string) => void,
): Promise<Chosen> {
  if (lock !== null) return null;
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const { environment, signal } = around;
  const docker = await openDocker(signal);
  return await localImages({ docker, environment, version, rebuild: flags.rebuild ?? false, say, signal });
}

const imagesSummary = (images: Chosen): string =>
  images === null ? `as ${lockFileName} says` : `${images.opencode.split('@')[0]} and ${images.executor.split('@')[0]}`;

/** Pushes `docker` as `outrigger template push` does. */
async function push(
  parts: Given & { readonly images: Chosen; readonly isTokenSafe: boolean },
): Promise<PushedTemplate> {
  const { flags, around, config, coder, address, images, say, isTokenSafe } = parts;
  const printed: string[] = [];
  const values = {
    outrigger_url: address.url,
    ...(images === null ? {} : { opencode_image: images.opencode, executor_images: JSON.stringify([images.executor]) }),
  };
  const { rendering, signal, clock, pollMs } = around;
  await runPush(
    rendering,
    ['docker'],
    {
      service: address.url,
      output: 'json',
      timeout: '300',
      var: Object.entries(values).map(([name, value]) => `${name}=${value}`),
      organization: coder.organization.id,
      ...(flags.imagesLock === undefined ? {} : { imagesLock: flags.imagesLock }),
    },
    {
      ...{ signal, clock, pollMs, tell: say, print: (line: string) => void printed.push(line) },
      // An address of this machine's own is never left by what is sent to it.
      config: { ...config, allowInsecureHttp: config.allowInsecureHttp || isTokenSafe },
    },
  );
  const pushed = JSON.parse(printed.join('\n')) as PushedTemplate;
  const template = await findTemplate(coder.client, coder.organization.id, 'docker');
  if (template?.active_version_id === pushed.version_id) return pushed;
  throw new CommandFailure(
    1,
    `Version ${pushed.version} of docker is not active; somebody pushed meanwhile. Run this again.`,
  );
}
