import type { Construct } from 'constructs';
import { initContainer } from '../modules/opencode/init-container.ts';
import { bridgeInWorker } from '../modules/opencode/bridge-process.ts';
import { sidecarContainer } from '../modules/opencode/sidecar.ts';
import { AdminVariables, type AdminVariablesProps } from '../modules/workspace/admin-variables.ts';
import { ideApp, openCodeApp } from '../modules/workspace/apps.ts';
import { choicesOf, type Choices } from '../modules/workspace/choices.ts';
import { cloneRepository } from '../modules/workspace/clone-repository.ts';
import type { ContainerSpec } from '../modules/workspace/container.ts';
import { helperProgram } from '../modules/workspace/helper-program.ts';
import { workspaceForm, type FormProps } from '../modules/workspace/parameters.ts';
import { workspacePresets } from '../modules/workspace/presets.ts';
import { workerContainer } from '../modules/workspace/worker.ts';
import { claiming, proofFacts, type RuntimeClaim } from '../modules/workspace/runtime-claim.ts';
import { workspaceAgent } from '../modules/workspace/workspace-agent.ts';
import { WorkspaceContext } from '../modules/workspace/workspace-context.ts';

export interface WorkspaceProps {
  readonly admin: AdminVariablesProps;
  readonly form: FormProps;
  /** HCL expression of the script that starts Coder's agent, from the expression of what Coder offers. */
  readonly startScript: (initScript: string) => string;
  /** What the platform promises beyond a container; without it nothing. */
  readonly claim?: RuntimeClaim;
}

/** What every platform makes containers of. */
export interface WorkspaceParts {
  readonly context: WorkspaceContext;
  readonly choices: Choices;
  readonly init: ContainerSpec;
  readonly containers: readonly ContainerSpec[];
}

/**
 * Everything of a workspace that is the same on every platform: variables, form, presets, Coder's agent with its apps
 * and scripts, and the description of the containers.
 */
export function workspace(scope: Construct, { admin, form, startScript, claim }: WorkspaceProps): WorkspaceParts {
  const variables = new AdminVariables(scope, admin);
  workspaceForm(scope, form);
  workspacePresets(scope, form.defaults, form.diskWhen === undefined);
  const choices = choicesOf(scope);
  const context = new WorkspaceContext(scope);
  const agent = workspaceAgent(scope, {
    context,
    choices,
    arch: variables.arch,
    ...(claim ? { facts: proofFacts } : {}),
  });
  const parts = { context, choices, agent, ...(claim ? { claim } : {}) };
  cloneRepository(scope, agent, choices);
  helperProgram(scope, agent);
  bridgeInWorker(scope, parts);
  openCodeApp(scope, agent);
  ideApp(scope, agent, choices);
  return {
    context,
    choices,
    init: initContainer(),
    containers: [
      workerContainer({ ...parts, startScript: startScript(`${agent.fqn}.init_script`) }),
      sidecarContainer(parts),
    ].map((spec) => claiming(spec, claim)),
  };
}
