import { TerraformLocal } from 'cdktf';
import type { Construct } from 'constructs';
import { bridgeEnvironment, paths } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { interpolation, literal } from '../hcl/expressions.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { Env } from '../providers/generated/coder/env/index.ts';
import { Script } from '../providers/generated/coder/script/index.ts';
import type { Choices } from '../workspace/choices.ts';
import { background } from '../workspace/background.ts';
import { harnessKey, registrationProof } from '../workspace/registration-proof.ts';
import { onceProven, type RuntimeClaim } from '../workspace/runtime-claim.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';

export interface BridgeProps {
  readonly context: WorkspaceContext;
  readonly choices: Choices;
  readonly agent: Agent;
  readonly claim?: RuntimeClaim;
}

/** What the bridge needs to know, wherever it runs. */
export function bridgeVariables({ context, agent }: BridgeProps) {
  const ids = {
    workspaceId: `${context.workspace.fqn}.id`,
    ownerId: `${context.owner.fqn}.id`,
    workspaceAgentId: `${agent.fqn}.id`,
  };
  return {
    environment: {
      [bridgeEnvironment.url]: interpolation('var.outrigger_url'),
      [bridgeEnvironment.workspaceId]: context.workspace.id,
      [bridgeEnvironment.ownerId]: context.owner.id,
      [bridgeEnvironment.workspaceAgentId]: agent.id,
      [bridgeEnvironment.slots]: interpolation('var.agent_slots'),
      [bridgeEnvironment.awaitWorker]: 'true',
    },
    secrets: {
      [bridgeEnvironment.proof]: registrationProof(ids),
      [bridgeEnvironment.harnessKey]: harnessKey(`${agent.fqn}.token`),
    },
  };
}

/**
 * Runs the bridge inside the worker, where the admin allows it and the owner chose it (`agent_mode = "process"`).
 *
 * It is told what it needs through Coder's agent, so the same mechanism serves every platform. Its state lies in the
 * home folder, because the agent's own volume belongs to the sidecar.
 */
export function bridgeInWorker(scope: Construct, props: BridgeProps): void {
  const { context, choices, agent } = props;
  const { environment, secrets } = bridgeVariables(props);
  const isProcess = `${choices.agentMode} == "process"`;
  const told = { ...environment, [bridgeEnvironment.agentDir]: `${paths.home}/.local/share/outrigger-agent` };
  const each = new Env(scope, 'env:bridge', {
    agentId: agent.id,
    name: interpolation('each.key'),
    value: interpolation('each.value'),
  });
  new TerraformLocal(scope, 'local:bridge_environment', told);
  each.addOverride(
    'for_each',
    interpolation(`{ for name, value in local.bridge_environment : name => value if ${isProcess} }`),
  );
  const count = interpolation(`${isProcess} ? ${context.workspace.fqn}.start_count : 0`);
  const proof = new Env(scope, 'env:bridge-proof', {
    agentId: agent.id,
    name: bridgeEnvironment.proof,
    value: secrets[bridgeEnvironment.proof] ?? '',
  });
  explain(
    proof,
    'What the service knows this build by, as in the sidecar: a hash over the secret of this version and the ids of\nworkspace, owner and build. The secret itself reaches no container.',
  );
  proof.addOverride('count', count);
  const script = new Script(scope, 'script:bridge', {
    agentId: agent.id,
    displayName: 'Agent',
    icon: '/icon/opencode.svg',
    runOnStart: true,
    startBlocksLogin: false,
    script: literal(background('bridge', onceProven([paths.opencode, paths.bridge], props.claim))),
  });
  explain(script, 'Only with agent_mode = "process": the bridge beside the person, in the worker.');
  script.addOverride('count', count);
}
