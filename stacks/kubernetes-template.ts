import { KubernetesProvider } from '@cdktf/provider-kubernetes/lib/provider/index.js';
import type { Construct } from 'constructs';
import { interpolation } from '../modules/hcl/expressions.ts';
import { kubernetesVariables } from '../modules/kubernetes/kubernetes-variables.ts';
import { kubernetesWorkspace } from '../modules/kubernetes/kubernetes-workspace.ts';
import type { PodRuntime } from '../modules/kubernetes/pod-runtime.ts';
import { CoderProvider } from '../modules/providers/generated/coder/provider/index.ts';
import { TemplateStack } from '../modules/workspace/template-stack.ts';
import { standardSizes, type TemplateOptions } from './template-options.ts';
import { workspace } from './workspace.ts';

/** Workspaces as pods on Kubernetes: a worker for the person and a sidecar for the agent. */
export class KubernetesTemplate extends TemplateStack {
  constructor(scope: Construct, id: string, runtime: PodRuntime, { defaults = {}, image }: TemplateOptions = {}) {
    super(scope, id, image);
    this.addOverride('terraform.required_version', '>= 1.11');
    this.addOverride('terraform.required_providers.coder', { source: 'coder/coder', version: '~> 2.16' });
    this.addOverride('terraform.required_providers.kubernetes', { source: 'hashicorp/kubernetes', version: '~> 2.38' });
    new CoderProvider(this, 'provider:coder');
    new KubernetesProvider(this, 'provider:kubernetes', {
      configPath: interpolation('var.use_kubeconfig ? "~/.kube/config" : null'),
    });

    const { leastMemoryMb, maxProfile, claim } = runtime;
    const { defaults: standard, ...most } = standardSizes;
    const wanted = { ...standard, memoryMb: Math.max(standard.memoryMb, leastMemoryMb), ...defaults };
    if (wanted.memoryMb < leastMemoryMb) {
      throw new Error(
        `${String(wanted.memoryMb)} MB of memory is below ${String(leastMemoryMb)} MB, the least that a workspace of this runtime starts with. Give ${String(leastMemoryMb)} or more.`,
      );
    }
    const sizes = {
      leastMemoryMb,
      mostCpu: Math.max(most.mostCpu, wanted.cpu),
      mostMemoryMb: Math.max(most.mostMemoryMb, wanted.memoryMb),
      mostDiskGb: Math.max(most.mostDiskGb, wanted.diskGb),
    };
    const parts = workspace(this, {
      admin: { maxProfile, sizes, ...(image === undefined ? {} : { image }) },
      form: { leastMemoryMb, defaults: wanted },
      startScript: (initScript) => initScript,
      ...(claim === undefined ? {} : { claim }),
    });
    kubernetesVariables(this);
    runtime.variables(this);
    kubernetesWorkspace(this, parts, runtime);
  }
}
