import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { names, ports } from '../../modules/contract.ts';
import { parseProbe, type Probe } from '../executor/probe.ts';
import { fail, unknown, type Check } from './check.ts';
import { judgeContainer, judgeOutside, type Remedies } from './container-checks.ts';
import type { Ran, RunProgram } from '../program.ts';

/** The containers of one workspace, and how to look into them. */
interface Place {
  readonly program: string;
  readonly remedies: Remedies;
  readonly exec: (container: string, script: string) => Promise<Ran>;
  /** Runs a script in a container beside the workspace; null where the workspace has no address. */
  readonly beside: (script: string, portsToTry: readonly string[]) => Promise<Ran | null>;
}

const script = (name: string): string => readFileSync(join(import.meta.dirname, `${name}.sh`), 'utf8');
const besideSeconds = 60;

/** A workspace of Docker or Podman, by the name of its first container: coder-<owner>-<workspace>. */
export function dockerPlace(run: RunProgram, engine: string, container: string): Place {
  const nameOf = (one: string): string => (one === names.containers.worker ? container : `${container}.${one}`);
  const inspect = async (one: string): Promise<z.infer<typeof containerShape> | undefined> =>
    readFirst(containerShape, await run(['inspect', '--type', 'container', one]));
  return {
    program: engine,
    exec: (one, text) => run(['exec', '-i', nameOf(one), 'sh', '-s'], text),
    remedies: {
      own: (path) =>
        `${engine} run --rm --user 0:0 --volumes-from ${container} --entrypoint sh $(${engine} inspect -f '{{.Image}}' ${container}) -c 'chown -R 1000:0 ${path} && chmod -R g=u ${path}'`,
      initLog: `${engine} logs ${nameOf(names.containers.init)}    (its last line says why)`,
      restart: 'coder restart WORKSPACE',
      inSidecar: (command) => `${engine} exec ${nameOf(names.containers.sidecar)} ${command}`,
    },
    async beside(text, tried) {
      const worker = await inspect(container);
      const shared = /^container:(.+)$/.exec(worker?.HostConfig.NetworkMode ?? '')?.[1];
      const holder = shared === undefined ? worker : await inspect(shared);
      const [network, settings] = Object.entries(holder?.NetworkSettings.Networks ?? {})[0] ?? [];
      if (worker === undefined || network === undefined || !settings?.IPAddress) return null;
      const limits = ['--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--user', '1000:0', '--read-only'];
      const words = ['run', '--rm', '-i', '--network', network, ...limits, '--entrypoint', 'sh', worker.Image];
      return run([...words, '-s', '--', settings.IPAddress, ...tried], text);
    },
  };
}

const containerShape = z.object({
  Image: z.string(),
  HostConfig: z.object({ NetworkMode: z.string() }),
  NetworkSettings: z.object({ Networks: z.record(z.string(), z.object({ IPAddress: z.string() })).nullish() }),
});

/** A workspace of Kubernetes, by its pod. */
export function podPlace(run: RunProgram, namespace: string, pod: string): Place {
  const within = (...words: string[]): string[] => ['-n', namespace, ...words];
  return {
    program: 'kubectl',
    exec: (one, text) => run(within('exec', '-i', pod, '-c', one, '--', 'sh', '-s'), text),
    remedies: {
      own: () =>
        `kubectl -n ${namespace} delete pod ${pod}    (the next one gives its volumes to fsGroup 1000 again; where it stays so, the storage class has no fsGroup: kubectl get csidriver)`,
      initLog: `kubectl -n ${namespace} logs ${pod} -c ${names.containers.init}`,
      restart: `kubectl -n ${namespace} delete pod ${pod}    (the next one has its files again)`,
      inSidecar: (command) => `kubectl -n ${namespace} exec ${pod} -c ${names.containers.sidecar} -- ${command}`,
    },
    async beside(text, tried) {
      const seen = readOne(podShape, await run(within('get', 'pod', pod, '-o', 'json')));
      const image = seen?.spec.containers.find((one) => one.name === names.containers.worker)?.image;
      if (seen?.status.podIP === undefined || image === undefined) return null;
      const name = `outrigger-doctor-${randomBytes(4).toString('hex')}`;
      const argv = ['sh', '-c', text, 'sh', seen.status.podIP, ...tried];
      const overrides = JSON.stringify({
        spec: { ...quietPod(image), containers: [quietContainer(name, image, argv)] },
      });
      const flags = ['--rm', '-i', '--quiet', '--restart=Never', `--image=${image}`, '--pod-running-timeout=60s'];
      return run(within('run', name, ...flags, `--overrides=${overrides}`));
    },
  };
}

const podShape = z.object({
  spec: z.object({ containers: z.array(z.object({ name: z.string(), image: z.string() })) }),
  status: z.object({ podIP: z.string().optional() }),
});

/** A pod that Pod Security "restricted" admits, and that ends by itself. */
export const quietPod = (image: string) => ({
  restartPolicy: 'Never',
  activeDeadlineSeconds: besideSeconds,
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  securityContext: { runAsNonRoot: true, runAsUser: 1000, runAsGroup: 0, seccompProfile: { type: 'RuntimeDefault' } },
  ...(image.includes('@') ? {} : { terminationGracePeriodSeconds: 1 }),
});

export const quietContainer = (name: string, image: string, command: readonly string[]) => ({
  name,
  image,
  command,
  imagePullPolicy: 'IfNotPresent',
  resources: { limits: { cpu: '250m', memory: '128Mi' }, requests: { cpu: '10m', memory: '32Mi' } },
  securityContext: {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
  },
});

export function readOne<Shape extends z.ZodType>(shape: Shape, { code, stdout }: Ran): z.output<Shape> | undefined {
  if (code !== 0) return undefined;
  try {
    return shape.safeParse(JSON.parse(stdout)).data;
  } catch {
    return undefined;
  }
}

const readFirst = <Shape extends z.ZodType>(shape: Shape, ran: Ran): z.output<Shape> | undefined =>
  readOne(z.array(shape), ran)?.[0];

/** Looks into worker and sidecar, and from a container beside them. */
export async function checkContainers(place: Place, { outside }: { outside: boolean }): Promise<readonly Check[]> {
  const checks: Check[] = [];
  const tried = new Set<string>([String(ports.opencode)]);
  for (const container of [names.containers.worker, names.containers.sidecar]) {
    const ran = await place.exec(container, script('container-probe'));
    if (ran.isMissing)
      return [
        unknown(
          'containers',
          `there is no ${place.program} in PATH`,
          '',
          `Install ${place.program}, or run this on the machine that has it.`,
        ),
      ];
    const probe = parseProbe(ran.stdout);
    if (!probe.has('probe') && ran.stderr !== '') {
      checks.push(fail(container, ran.stderr, '', place.remedies.restart));
      continue;
    }
    for (const line of probe.get('listens') ?? []) tried.add(line.split(' ')[0] ?? '');
    checks.push(...judgeContainer(container, probe, place.remedies));
    // In agent mode "process" the agent runs beside the person, and there is no second container.
    if (probe.has('bridge')) break;
  }
  if (!outside) return checks;
  const ran = await place.beside(script('outside-probe'), [...tried]);
  const answers: Probe = ran === null ? new Map() : parseProbe(ran.stdout);
  return [...checks, judgeOutside(answers, place.remedies.restart)];
}
