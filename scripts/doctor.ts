import { Command } from 'commander';
import { isLoopbackUrl } from '../service/config-settings.ts';
import { loadConfigFromProcess, type Config } from '../service/config.ts';
import { ServiceError } from '../service/platform/errors.ts';
import { CommandFailure } from './command-failure.ts';
import { exitCodeOf, fail, formatDiagnosis, ok, type Diagnosis } from './doctor/check.ts';
import { checkContainers, dockerPlace, podPlace } from './doctor/containers.ts';
import { diagnoseKata } from './doctor/kata.ts';
import { programNamed } from './program.ts';
import { checkService, serviceUrlOf } from './doctor/service-checks.ts';
import { checkWorkspace } from './doctor/workspace-checks.ts';
import { readEngine } from './images/settings.ts';
import { connectCoder } from './template-context.ts';

interface Flags {
  readonly output: string;
  readonly config?: string;
  readonly service?: string;
}
interface WorkspaceFlags extends Flags {
  readonly container?: string;
  readonly engine?: string;
  readonly pod?: string;
  /** @default true */
  readonly outside: boolean;
}
interface KataFlags extends Flags {
  readonly namespace: string;
  readonly runtimeClass: string;
  readonly probe?: boolean;
  readonly image?: string;
  readonly nodeNamespace: string;
}

const exitCodes =
  'Exit codes: 0 all is well · 1 something to look at, or not known · 2 something is broken; each line says what mends it';
const serviceOption = [
  '--service <url>',
  'the running service; otherwise OUTRIGGER_URL, else where it listens',
] as const;

const common = (command: Command): Command =>
  command
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('-o, --output <format>', 'text or json', 'text');

/** `outrigger doctor …` */
export function doctorCommand(): Command {
  const command = common(new Command('doctor'))
    .description('Looks for what is wrong, and names the command that mends it')
    .option(...serviceOption)
    .addHelpText(
      'after',
      `\nWithout a further word: the service, with the configuration and on the machine of whoever runs it.\n\n${exitCodes}\n\nExamples:\n  outrigger doctor\n  outrigger doctor workspace ada/first --container coder-ada-first\n  outrigger doctor kata --namespace coder-workspaces\n`,
    )
    .action((flags: Flags) => print(flags, () => diagnoseService(flags)));
  command.addCommand(workspaceCommand());
  command.addCommand(kataCommand());
  return command;
}

const workspaceCommand = (): Command =>
  common(new Command('workspace'))
    .description('Looks at one workspace: through Coder and the service, and into its containers')
    .argument('[workspace]', 'its name, owner/name or id; may be left out with --container or --pod')
    .option(...serviceOption)
    .option('--container <name>', 'look into its containers: the first is coder-<owner>-<workspace>')
    .option('--engine <engine>', 'docker or podman; otherwise CONTAINER_ENGINE, else docker')
    .option('--pod <namespace/name>', 'look into the containers of its pod, with kubectl')
    .option('--no-outside', 'start no container beside it to try OpenCode’s port')
    .addHelpText(
      'after',
      `\n${exitCodes}\n\nExample:\n  outrigger doctor workspace ada/first --pod coder-workspaces/coder-5f8-abc\n`,
    )
    .action((workspace: string | undefined, own: WorkspaceFlags, self: Command) => {
      const flags = self.optsWithGlobals<WorkspaceFlags>();
      return print(flags, () => diagnoseWorkspace(workspace, { ...own, ...flags }));
    });

const kataCommand = (): Command =>
  common(new Command('kata'))
    .description('Looks whether pods of a RuntimeClass are virtual machines, and can be')
    .option('--namespace <name>', 'where the workspaces are', 'coder-workspaces')
    .option('--runtime-class <name>', 'the template’s runtime_class', 'kata-qemu')
    .option('--probe', 'run a small pod in the class, and one on each of its nodes that sees /dev; both are removed')
    .option('--image <image>', 'an image with sh that the nodes can have, for --probe')
    .option('--node-namespace <name>', 'where a pod may see its node’s /dev, for --probe', 'kube-system')
    .addHelpText(
      'after',
      `\n${exitCodes}\n\nExample:\n  outrigger doctor kata --probe --image registry.example.com/base@sha256:…\n`,
    )
    .action((_own: KataFlags, self: Command) => {
      const flags = self.optsWithGlobals<KataFlags>();
      return print(flags, () => {
        const { namespace, runtimeClass, nodeNamespace, probe, image } = flags;
        if (probe === true && image === undefined)
          throw new CommandFailure(
            2,
            '--probe runs a pod: name an image with --image that has sh and that the nodes can have.',
          );
        return diagnoseKata(programNamed('kubectl'), {
          namespace,
          runtimeClass,
          nodeNamespace,
          ...(probe === true && image !== undefined ? { probeImage: image } : {}),
        });
      });
    });

async function print(flags: Flags, diagnose: () => Promise<Diagnosis>): Promise<void> {
  try {
    if (!['text', 'json'].includes(flags.output)) throw new CommandFailure(2, '--output must be text or json.');
    const diagnosis = await diagnose();
    const isOk = exitCodeOf(diagnosis) === 0;
    console.log(
      flags.output === 'json' ? JSON.stringify({ ...diagnosis, ok: isOk }, null, 2) : formatDiagnosis(diagnosis),
    );
    process.exitCode = exitCodeOf(diagnosis);
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    console.error(error.message);
    process.exitCode = error.exitCode;
  }
}

async function diagnoseService({ config: file, service }: Flags): Promise<Diagnosis> {
  const subject = 'Outrigger';
  let config: Config;
  try {
    config = loadConfigFromProcess(file);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    const found = error.errors.map(({ path, message }) => `${path} ${message}`).join('; ');
    return {
      subject,
      checks: [fail('configuration', found || error.message, '', 'Mend what is named, then: outrigger config print')],
    };
  }
  const read = ok('configuration', 'reads; outrigger config print shows it');
  return { subject, checks: [read, ...(await checkService(config, serviceUrlOf(config, service)))] };
}

async function diagnoseWorkspace(workspace: string | undefined, flags: WorkspaceFlags): Promise<Diagnosis> {
  const { container, pod, engine, outside } = flags;
  const looked = workspace === undefined ? { subject: 'workspace', checks: [] } : await askAbout(workspace, flags);
  if (container === undefined && pod === undefined) {
    if (workspace === undefined)
      throw new CommandFailure(2, 'Which workspace? Name it, or one of --container and --pod.');
    return looked;
  }
  const inside = await checkContainers(placeOf(container, pod, engine), { outside });
  return { ...looked, checks: [...looked.checks, ...inside] };
}

function placeOf(container: string | undefined, pod: string | undefined, engine: string | undefined) {
  if (container !== undefined) {
    const program = readEngine(engine ?? process.env['CONTAINER_ENGINE']);
    return dockerPlace(programNamed(program), program, plain(container, '--container'));
  }
  const [namespace = '', name = '', ...rest] = (pod ?? '').split('/');
  if (namespace === '' || name === '' || rest.length > 0) throw new CommandFailure(2, '--pod is NAMESPACE/POD.');
  return podPlace(programNamed('kubectl'), plain(namespace, '--pod'), plain(name, '--pod'));
}

/** A name that no program reads as an option and no shell as anything but itself. */
function plain(name: string, option: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) return name;
  throw new CommandFailure(2, `${option} has characters that no such name has.`);
}

async function askAbout(workspace: string, { config: file, service }: Flags): Promise<Diagnosis> {
  const config = loadConfigFromProcess(file);
  const { coder, token } = connectCoder(config);
  const serviceUrl = serviceUrlOf(config, service);
  if (serviceUrl.startsWith('http:') && !isLoopbackUrl(serviceUrl) && !config.allowInsecureHttp)
    throw new CommandFailure(
      2,
      `${serviceUrl} would carry your token in the clear. Use https, or set ALLOW_INSECURE_HTTP=true in a network you trust.`,
    );
  return checkWorkspace({ coder, coderUrl: config.coder.url, serviceUrl, token }, workspace);
}
