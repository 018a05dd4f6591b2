import type { Construct } from 'constructs';
import { explain } from '../modules/hcl/comment.ts';
import { initContainer } from '../modules/opencode/init-container.ts';
import { bridgeInWorker } from '../modules/opencode/bridge-process.ts';
import { sidecarContainer } from '../modules/opencode/sidecar.ts';
import { AdminVariables, type AdminVariablesProps } from '../modules/workspace/admin-variables.ts';
import { ideApp, openCodeApp } from '../modules/workspace/apps.ts';
import { choicesOf, type Choices } from '../modules/workspace/choices.ts';
import { cloneRepository } from '../modules/workspace/clone-repository.ts';
import type { ContainerSpec } from '../modules/workspace/container.ts';
import { egressContainer } from '../modules/workspace/egress-container.ts';
import { helperProgram } from '../modules/workspace/helper-program.ts';
import { outriggerApp } from '../modules/workspace/outrigger-app.ts';
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
  /** HCL expression of how Coder is reached from a workspace, from that of its address; default: as it is. */
  readonly coderUrl?: (accessUrl: string) => string;
  /** What the platform promises beyond a container; without it nothing. */
  readonly claim?: RuntimeClaim;
}

const comments = {
  agent: `Coder's own agent, in the worker. Git takes nothing from a repository's configuration that would run a program, since the
coding agent writes there; for the same reason it starts in the home folder and not in the repository.`,
  ide: `The path is a capability: Coder adds it on its side, and whoever else reaches the port gets nothing without it. It is
made of the agent's token, so it changes with each build and the coding agent's container cannot make it.`,
  opencode: 'A terminal that joins the session of the running task.',
};

/** What every platform makes containers of. */
export interface WorkspaceParts {
  readonly context: WorkspaceContext;
  readonly choices: Choices;
  readonly init: ContainerSpec;
  readonly egress: ContainerSpec;
  readonly containers: readonly ContainerSpec[];
}

/**
 * Everything of a workspace that is the same on every platform: variables, form, presets, Coder's agent with its apps
 * and scripts, and the description of the containers.
 */
export function workspace(
  scope: Construct,
  { admin, form, startScript, coderUrl = (url) => url, claim }: WorkspaceProps,
): WorkspaceParts {
  const variables = new AdminVariables(scope, admin);
  const context = new WorkspaceContext(scope);
  workspaceForm(scope, form);
  workspacePresets(scope, form.defaults, form.diskWhen === undefined);
  const choices = choicesOf(scope);
  const agent = workspaceAgent(scope, {
    context,
    choices,
    arch: variables.arch,
    ...(claim ? { facts: proofFacts } : {}),
  });
  const parts = { context, choices, agent, ...(claim ? { claim } : {}) };
  explain(agent, comments.agent);
  explain(ideApp(scope, agent, choices), comments.ide);
  explain(openCodeApp(scope, agent), comments.opencode);
  outriggerApp(scope, agent, context);
  cloneRepository(scope, agent, choices);
  helperProgram(scope, agent);
  bridgeInWorker(scope, parts);
  return {
    context,
    choices,
    init: initContainer(),
    egress: egressContainer(context, agent, coderUrl(`${context.workspace.fqn}.access_url`)),
    containers: [
      workerContainer({ ...parts, startScript: startScript(`${agent.fqn}.init_script`) }),
      sidecarContainer(parts),
    ].map((spec) => claiming(spec, claim)),
  };
}
