import type { Task } from '../../../modules/contract.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What one container gets, whoever asks: bytes, cores, processes. */
export const containerLimits = { memoryMib: 1024, cpus: 1, pids: 256, tmpMib: 64, logMib: 1, logFiles: 2 } as const;
const mib = 1024 * 1024;

/** Whom a container belongs to. */
export const labels = {
  task: 'outrigger.task',
  organization: 'outrigger.organization',
  owner: 'outrigger.owner',
  until: 'outrigger.until',
} as const;

/** The same for every execution of a task, so that a second one finds the first one's container. */
export const containerName = (taskId: string): string => `outrigger-task-${taskId}`;

export interface ContainerWish {
  readonly task: Task;
  readonly image: ImageFacts;
  readonly argv: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly network: string;
  /** Nobody follows it after that. */
  readonly until: Date;
}

/** What is used of `GET /images/{name}/json`. */
export interface ImageFacts {
  readonly id: string;
  readonly user: string;
  readonly volumes: readonly string[];
}

export function imageFacts(body: Fields): ImageFacts {
  const config = (body['Config'] ?? {}) as { User?: string; Volumes?: Fields | null };
  return { id: String(body['Id']), user: config.User ?? '', volumes: Object.keys(config.Volumes ?? {}) };
}

const nobody = '65534:65534';
const isRoot = (user: string): boolean => /^(root|0*)(:|$)/.test(user);

/**
 * The body of `POST /containers/create`: no rights, no network unless an admin names one, nothing of the host,
 * nothing written but in memory.
 *
 * Source: Engine API 1.41, ContainerCreate
 */
export const containerBody = ({ task, image, argv, env, network, until }: ContainerWish): Fields => ({
  // By its id, so that what runs is what was looked at.
  Image: image.id,
  ...(argv === undefined ? {} : { Cmd: argv }),
  Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
  User: isRoot(image.user) ? nobody : image.user,
  // A check of the image would run beside the work.
  Healthcheck: { Test: ['NONE'] },
  Labels: {
    [labels.task]: task.id,
    [labels.organization]: task.organizationId,
    [labels.owner]: task.ownerId,
    [labels.until]: until.toISOString(),
  },
  HostConfig: {
    AutoRemove: false,
    RestartPolicy: { Name: 'no' },
    Privileged: false,
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges'],
    ReadonlyRootfs: true,
    // A volume of the image would be a disk without a bound.
    Mounts: [...new Set(['/tmp', ...image.volumes])].map((Target) => ({
      Type: 'tmpfs',
      Target,
      TmpfsOptions: { SizeBytes: containerLimits.tmpMib * mib, Mode: 0o1777 },
    })),
    IpcMode: 'private',
    NetworkMode: network,
    Memory: containerLimits.memoryMib * mib,
    MemorySwap: containerLimits.memoryMib * mib,
    NanoCpus: containerLimits.cpus * 1_000_000_000,
    PidsLimit: containerLimits.pids,
    LogConfig: {
      Type: 'json-file',
      Config: { 'max-size': `${containerLimits.logMib}m`, 'max-file': String(containerLimits.logFiles) },
    },
  },
});
