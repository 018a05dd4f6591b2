import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import { DataCoderWorkspacePreset } from '../providers/generated/coder/data-coder-workspace-preset/index.ts';
import { imageName } from './image-name.ts';
import { bounded } from './parameter.ts';
import type { Defaults } from './parameters.ts';

interface Preset {
  readonly name: string;
  readonly description: string;
  readonly icon: string;
  /** How many times the default sizes. */
  readonly times: number;
}

/** The first is the default, so its sizes are those of the form: Coder applies a default preset unasked. */
const presets: readonly Preset[] = [
  { name: 'node', description: 'Node.js: services, command lines, front ends.', icon: '/icon/node.svg', times: 1 },
  { name: 'python', description: 'Python with pip and venv.', icon: '/icon/python.svg', times: 1 },
  { name: 'rust', description: 'Rust: compiling wants cores and memory.', icon: '/icon/rust.svg', times: 2 },
  {
    name: 'full-stack',
    description: 'Front end, back end and their tests side by side.',
    icon: '/icon/code.svg',
    times: 2,
  },
  { name: 'nix', description: 'Tools from a workspace.nix of the repository.', icon: '/icon/nix.svg', times: 2 },
];

/** Offers the presets: an image and sizes that fit it, never above what the admin allows. */
export function workspacePresets(scope: Construct, defaults: Defaults, hasDisk: boolean): void {
  presets.forEach(({ name, description, icon, times }, index) => {
    const made = new DataCoderWorkspacePreset(scope, `preset:${name}`, {
      name,
      description,
      icon,
      default: index === 0,
      parameters: {
        executor_image: interpolation(imageName(`lookup(var.preset_images, "${name}", var.executor_images[0])`)),
        cpu: interpolation(bounded(defaults.cpu * times, 'var.max_cpu')),
        memory: interpolation(bounded(defaults.memoryMb * times, 'var.max_memory_mb')),
        ...(hasDisk ? { disk: interpolation(bounded(defaults.diskGb * times, 'var.max_disk_gb')) } : {}),
      },
    });
    if (index === 0) explain(made, 'Each fills in an image and sizes. Coder applies the default one unasked.');
  });
}
