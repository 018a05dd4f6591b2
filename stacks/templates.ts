import type { Construct } from 'constructs';
import type { TemplateStack } from '../modules/workspace/template-stack.ts';
import { kataPods, standardPods } from '../modules/kubernetes/pod-runtime.ts';
import { DockerTemplate } from './docker-template.ts';
import { KubernetesTemplate } from './kubernetes-template.ts';
import type { TemplateOptions } from './template-options.ts';

/** What a Coder does by itself with workspaces of a template, in milliseconds. */
export interface TemplateSchedule {
  /** A workspace stops this long after its start… */
  readonly autostopMs: number;
  /** …or after its last use, where that is later. */
  readonly activityBumpMs: number;
  /** A workspace nobody used for so long is set aside, and its owner must wake it. Only with Coder Premium. */
  readonly dormantAfterMs: number;
}

const hourMs = 3_600_000;

/** Forgotten workspaces cost no more than a working day. */
export const workingDay: TemplateSchedule = {
  autostopMs: 8 * hourMs,
  activityBumpMs: hourMs,
  dormantAfterMs: 14 * 24 * hourMs,
};

/** One template that an admin can push. */
export interface TemplateEntry {
  /** Name of the template and of its folder under templates/. */
  readonly name: string;
  /** What people read in Coder. */
  readonly title: string;
  /** How a new template begins; what its admins set later stands. Otherwise `workingDay`. */
  readonly schedule?: TemplateSchedule;
  /** Builds the stack. */
  readonly stack: (scope: Construct, name: string, options?: TemplateOptions) => TemplateStack;
}

/** Every template there is. */
export const templates: readonly TemplateEntry[] = [
  {
    name: 'docker',
    title: 'Docker with an agent beside you',
    schedule: workingDay,
    stack: (scope, name, options) => new DockerTemplate(scope, name, options),
  },
  {
    name: 'kubernetes',
    title: 'Kubernetes with an agent beside you',
    schedule: workingDay,
    stack: (scope, name, options) => new KubernetesTemplate(scope, name, standardPods, options),
  },
  {
    name: 'kata',
    title: 'Kata Containers with an agent beside you',
    schedule: workingDay,
    stack: (scope, name, options) => new KubernetesTemplate(scope, name, kataPods, options),
  },
];
