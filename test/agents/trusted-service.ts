import { commandCapability } from '../../modules/contract.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { finished } from '../support/coder/simulated-coder.ts';
import { startFakeBridge, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

/** A service whose workspace may do everything, with a bridge in it. */
export interface TrustedService {
  readonly outrigger: TestService;
  bridge(): Promise<FakeBridge>;
  /** Gives Ada's organization a credential for an agent, by reference. Answers the organization's id. */
  give(agent: string, env: string, value: string): Promise<string>;
}

/** `parameters` are what the workspace's owner chose in its form. */
export async function startTrustedService(
  environment: Record<string, string>,
  parameters: Record<string, string> = {},
): Promise<TrustedService> {
  const outrigger = await startTestService({ OUTRIGGER_MAX_PROFILE: 'trusted', ...environment });
  const { coder, people, workspace, url } = outrigger;
  const { agentId } = coder.buildWorkspace(workspace.id, 'start', {
    versionId: coder.addVersion('docker', { max_profile: 'trusted' }),
    timing: finished,
    parameters,
  });
  return {
    outrigger,
    async bridge() {
      const { body } = await outrigger.call(people.admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
      const proof = deriveProof((body as { secret: string }).secret, workspace.id, people.ada.id, agentId);
      return startFakeBridge({ url, proof, workspaceId: workspace.id, agentId, capabilities: [commandCapability] });
    },
    async give(agent, env, value) {
      const name = `${agent}-test`;
      await outrigger.call(people.admin, 'PUT', `/api/v2/agents/secrets/${name}`, { value });
      const { status, body } = await outrigger.call(people.admin, 'PUT', `/api/v2/agents/registry/${agent}`, {
        apiVersion: 'kubeopencode.io/v1alpha1',
        kind: 'Agent',
        metadata: { name: agent },
        spec: { credentials: [{ name, secretRef: { name, key: 'value' }, env }] },
      });
      if (status !== 200) throw new Error(`entry of ${agent}: ${status} ${JSON.stringify(body)}`);
      return (body as { status: { organization_id: string } }).status.organization_id;
    },
  };
}
