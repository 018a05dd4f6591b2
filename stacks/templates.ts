import type { Construct } from 'constructs';
import type { TemplateStack } from '../modules/workspace/template-stack.ts';
import { DockerTemplate } from './docker-template.ts';

/** One template that an admin can push. */
export interface TemplateEntry {
  /** Name of the template and of its folder under templates/. */
  readonly name: string;
  /** What people read in Coder. */
  readonly title: string;
  /** Builds the stack. */
  readonly stack: (scope: Construct, name: string) => TemplateStack;
}

/** Every template there is. */
export const templates: readonly TemplateEntry[] = [
  {
    name: 'docker',
    title: 'Docker with an agent beside you',
    stack: (scope, name) => new DockerTemplate(scope, name),
  },
];
