import { eventually } from './clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from './fake-bridge.ts';
import type { Lease } from '../../modules/contract.ts';
import type { Answer, TestService } from './service.ts';

export const workflowsPath = '/api/v2/agents/agentzero/workflows';

/** One step whose prompt is its id. */
export const step = (id: string, depends_on: readonly string[] = [], more: object = {}) => ({
  id,
  agent: 'opencode',
  task: 'generate_code',
  depends_on,
  params: { prompt: id },
  ...more,
});

/** Which step a lease is for: its branch ends with the step's id. */
export const stepOf = (lease: Lease): string => lease.branch.split('/').at(-1) ?? '';

/** Ada's workflows in a service, and what her workspace does for them. */
export function workflowsOf(outrigger: TestService, bridge: FakeBridge) {
  const call = (method: string, path: string, body?: unknown): Promise<Answer> =>
    outrigger.call(outrigger.people.ada, method, path, body);
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a test reads any answer
  const read = async (id: string): Promise<any> => (await call('GET', `${workflowsPath}/${id}`)).body;
  return {
    call,
    read,
    post: (id: string, verb: string, body?: unknown) => call('POST', `${workflowsPath}/${id}/${verb}`, body),
    async submit(body: object): Promise<string> {
      const answer = await call('POST', workflowsPath, { name: 'w', workspace_id: 'ws-123', ...body });
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
      return (answer.body as { id: string }).id;
    },
    finished: (id: string) =>
      eventually(
        'the workflow to end',
        async () => {
          const workflow = await read(id);
          return workflow.state === 'finished' ? workflow : undefined;
        },
        60_000,
      ),
    take: (holding: readonly Lease[] = []) => takeLease(bridge, holding),
    begin: (lease: Lease) => bridge.event(lease, 1, 'session.opened', { session_id: `ses_${stepOf(lease)}` }),
    succeed: (lease: Lease, change: Parameters<typeof goodEvidence>[0] = {}) =>
      bridge.request('result', { ...lease, evidence: goodEvidence(change) }),
  };
}
