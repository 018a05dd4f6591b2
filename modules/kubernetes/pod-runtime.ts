import type { Construct } from 'constructs';
import type { profiles } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { RuntimeClaim } from '../workspace/runtime-claim.ts';
import { flag, optionalText, rule, variable } from '../workspace/variable.ts';

/** What runs the pods of a template, and what follows from it. */
export interface PodRuntime {
  /** The least memory that a workspace starts with. */
  readonly leastMemoryMb: number;
  /** The most that an agent may do without asking, unless the admin says otherwise (design §9). */
  readonly maxProfile: (typeof profiles)[number];
  /** HCL expression of the RuntimeClass; null leaves it out. */
  readonly runtimeClass: string;
  /** Declares the variables of the admin that only this runtime has, `runtime_class` among them. */
  readonly variables: (scope: Construct) => void;
  /** What is proven from inside before an agent starts. */
  readonly claim?: RuntimeClaim;
}

const className = 'can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", var.runtime_class))';

/** Containers as the cluster runs them, or by a RuntimeClass of the admin; nothing is promised about it. */
export const standardPods: PodRuntime = {
  leastMemoryMb: 512,
  maxProfile: 'ask',
  runtimeClass: 'var.runtime_class == "" ? null : var.runtime_class',
  variables: (scope) => {
    optionalText(scope, 'runtime_class', 'RuntimeClass of the pods, such as "gvisor"; empty: the cluster\'s own.', [
      rule(`var.runtime_class == "" || ${className}`, 'Give the name of a RuntimeClass, such as "gvisor".'),
    ]);
  },
};

/**
 * A virtual machine for each pod, by Kata Containers.
 *
 * The guest's kernel and its agent need memory too, and volumes in memory count against the guest's, so a workspace
 * starts with more. Because a pod that lacks the isolation looks the same from outside, the agent starts only once the
 * guest has shown what it is.
 */
export const kataPods: PodRuntime = {
  leastMemoryMb: 2048,
  maxProfile: 'trusted',
  runtimeClass: 'var.runtime_class',
  variables: (scope) => {
    const runtimeClass = variable(scope, 'runtime_class', {
      description: 'RuntimeClass of Kata Containers, such as "kata-qemu" or "kata-clh".',
      type: 'string',
      default: 'kata-qemu',
      validation: [rule(className, 'Give the name of a RuntimeClass, such as "kata-qemu".')],
    });
    explain(runtimeClass, 'The isolation, and what a workspace proves it by before an agent starts.');
    variable(scope, 'node_kernels', {
      description:
        'Kernels of the nodes, as "kubectl get nodes -o wide" shows them: what a workspace compares its own with.',
      type: 'list(string)',
      validation: [
        rule(
          'length(var.node_kernels) > 0 || var.allow_unproven_runtime',
          'Name the kernel of every node, such as "6.1.0-30-amd64": without them nothing is proven.',
        ),
        rule(
          'alltrue([for kernel in var.node_kernels : can(regex("^[A-Za-z0-9][A-Za-z0-9._+~-]*$", kernel))])',
          'Give releases of kernels, such as "6.1.0-30-amd64".',
        ),
      ],
    });
    flag(scope, 'allow_unproven_runtime', 'Whether an agent may start where the isolation is not proven.');
  },
  claim: {
    environment: {
      OUTRIGGER_RUNTIME: 'kata',
      OUTRIGGER_NODE_KERNELS: interpolation('join(",", var.node_kernels)'),
      OUTRIGGER_RUNTIME_UNPROVEN: interpolation('var.allow_unproven_runtime ? "allow" : ""'),
    },
  },
};
