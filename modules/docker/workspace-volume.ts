import type { ContainerMounts } from '@cdktf/provider-docker/lib/container/index.js';
import { Volume } from '@cdktf/provider-docker/lib/volume/index.js';
import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import { volumeLabels } from '../workspace/labels.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';

/** A named volume of one workspace, and how containers mount it. */
export class WorkspaceVolume {
  private readonly volume: Volume;
  private readonly path: string;

  /** Kept on disk until the workspace is deleted. */
  static onDisk(scope: Construct, context: WorkspaceContext, part: string, path: string): WorkspaceVolume {
    return new WorkspaceVolume(scope, context, part, path);
  }

  /** Kept on disk, with a size (`10G`) where the admin says that the filesystem knows quotas. */
  static withQuota(
    scope: Construct,
    context: WorkspaceContext,
    part: string,
    path: string,
    size: string,
  ): WorkspaceVolume {
    const options = `{ size = "${size}" }`;
    return new WorkspaceVolume(scope, context, part, path, interpolation(`var.disk_quota ? ${options} : null`));
  }

  /** In memory, bounded, and empty again once no container holds it. */
  static inMemory(
    scope: Construct,
    context: WorkspaceContext,
    part: string,
    path: string,
    sizeMib: number,
  ): WorkspaceVolume {
    const options = `size=${String(sizeMib)}m,uid=1000,gid=0,mode=0770,nosuid,nodev,noexec`;
    return new WorkspaceVolume(scope, context, part, path, { type: 'tmpfs', device: 'tmpfs', o: options });
  }

  private constructor(
    scope: Construct,
    context: WorkspaceContext,
    part: string,
    path: string,
    driverOptions?: Record<string, string> | string,
  ) {
    this.path = path;
    this.volume = new Volume(scope, `volume:${part}`, {
      name: context.persistentName(part),
      driver: 'local',
      lifecycle: { ignoreChanges: 'all' },
    });
    this.volume.addOverride('dynamic.labels', [volumeLabels(context, part)]);
    if (driverOptions !== undefined) this.volume.addOverride('driver_opts', driverOptions);
  }

  /** Says above the volume what it is for. */
  explain(comment: string): void {
    explain(this.volume, comment);
  }

  /**
   * First mount of an empty volume: Docker gives it the owner and mode that the folder has in the image.
   *
   * Only the init container mounts like this, because only its image is ours.
   */
  mountFirst(): ContainerMounts {
    return { type: 'volume', source: this.volume.name, target: this.path };
  }

  /** Any later mount: nothing of the executor image is copied in, so its folder cannot change the owner. */
  mount(): ContainerMounts {
    return { ...this.mountFirst(), volumeOptions: { noCopy: true } };
  }

  mountReadOnly(): ContainerMounts {
    return { ...this.mount(), readOnly: true };
  }
}
