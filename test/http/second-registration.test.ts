import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { finished } from '../support/coder/timeline.ts';
import { startFakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

let outrigger: TestService;
let orgAdmin: Person;
beforeAll(async () => {
  outrigger = await startTestService();
  orgAdmin = outrigger.coder.addUser({ username: 'orga', roles: ['organization-admin'] });
});
afterAll(() => outrigger.stop());

const path = '/api/v2/agents/alerts';

describe('a second registration for one build', () => {
  it('is an alert in the audit and the log that admins see, and a bridge of a later build is none', async () => {
    const { workspace, coder } = outrigger;
    const proof = await outrigger.proof();
    const start = (agentId: string, shown: string) =>
      startFakeBridge({ url: outrigger.url, proof: shown, workspaceId: workspace.id, agentId });
    const first = await start(workspace.agentId, proof);
    expect((await outrigger.call(orgAdmin, 'GET', path)).body.items).toEqual([]);

    const second = await start(workspace.agentId, proof);

    const alert = { workspace_id: workspace.id, owner_id: outrigger.people.ada.id };
    const { body } = await outrigger.call(orgAdmin, 'GET', path);
    expect(body.items).toMatchObject([{ ...alert, data: { alert: 'second_registration', generation: 2 } }]);
    expect(outrigger.log()).toMatch(/"level":"error"[^\n]*"alert":true/);
    expect((await outrigger.call(outrigger.people.ada, 'GET', path)).status).toBe(403);

    const { agentId } = coder.buildWorkspace(workspace.id, 'start', { timing: finished });
    const { body: minted } = await outrigger.call(
      outrigger.people.admin,
      'POST',
      '/api/v2/agents/templates/docker/secrets',
      {},
    );
    const later = deriveProof((minted as { secret: string }).secret, workspace.id, outrigger.people.ada.id, agentId);
    const third = await start(agentId, later);
    expect((await outrigger.call(orgAdmin, 'GET', path)).body.items).toHaveLength(1);
    for (const bridge of [first, second, third]) bridge.close();
  });
});
