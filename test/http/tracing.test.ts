import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
}

const bodies: string[] = [];
let collector: Server;
let outrigger: TestService;
beforeAll(async () => {
  collector = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url === '/v1/traces') bodies.push(Buffer.concat(chunks).toString());
      response.setHeader('Content-Type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  outrigger = await startTestService({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
});
afterAll(() => void collector.close());

const spansOf = (traceId: string): Span[] =>
  bodies
    .flatMap((body) => (JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }).resourceSpans)
    .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
    .filter((span) => span.traceId === traceId);

it('S-08 one trace shows a span for each hop: API, registry, orchestrator, scheduler and both agents', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const canary = 'canary-of-a-prompt';
  const bridge = await outrigger.bridge();
  const submitted = await outrigger.call(
    outrigger.people.ada,
    'POST',
    '/api/v2/agents/agentzero/workflows',
    {
      name: 'Ship it',
      workspace_id: 'ws-123',
      steps: [
        { id: 'write', agent: 'opencode', task: 'generate_code', params: { prompt: canary } },
        {
          id: 'look',
          agent: 'kubernetes',
          task: 'rollout_status',
          depends_on: ['write'],
          params: { kind: 'Deployment', name: 'web' },
        },
      ],
    },
    { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  );
  await bridge.request('result', { ...(await takeLease(bridge)), evidence: goodEvidence() });
  await eventually('the end of the workflow', async () => {
    const path = `/api/v2/agents/agentzero/workflows/${submitted.body.id}`;
    return (await outrigger.call(outrigger.people.ada, 'GET', path)).body.state === 'finished';
  });
  bridge.close();
  await outrigger.stop();

  const spans = spansOf(traceId);
  const first = (name: string): Span => {
    const found = spans.filter((span) => span.name === name);
    const [earliest] = found.sort((one, other) =>
      Number(BigInt(one.startTimeUnixNano) - BigInt(other.startTimeUnixNano)),
    );
    if (!earliest) throw new Error(`no span ${name} among ${spans.map((span) => span.name).join(', ')}`);
    return earliest;
  };
  const way = ['api POST /api/v2/agents/agentzero/workflows', 'registry', 'orchestrator', 'scheduler'];
  const starts = [...way, 'agent opencode', 'agent kubernetes'].map((name) => BigInt(first(name).startTimeUnixNano));
  expect([...starts].sort((one, other) => Number(one - other))).toEqual(starts);
  const ids = new Set(['b7ad6b7169203331', ...spans.map(({ spanId }) => spanId)]);
  expect(spans.filter(({ parentSpanId }) => !ids.has(parentSpanId ?? ''))).toEqual([]);
  expect(first('agent opencode').parentSpanId).toBe(first('orchestrator').spanId);
  for (const secret of [canary, outrigger.people.ada.token, bridge.token]) expect(bodies.join()).not.toContain(secret);
});
