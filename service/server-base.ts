import { makePresence } from './agents/presence.ts';
import { makeProviderKey } from './agents/provider-key.ts';
import { makeRegistry } from './agents/registry.ts';
import { makeAuditLog } from './audit/audit-log.ts';
import { makeChainer } from './audit/chainer.ts';
import { makeBroker } from './broker/broker.ts';
import { makeGitIdentity } from './bridge/git-identity.ts';
import { auditCoderCall } from './coder/audit-call.ts';
import { makeCaller, type CallerOptions } from './coder/caller.ts';
import { makeCoder } from './coder/coder.ts';
import { makeGateway } from './gateway/gateway.ts';
import { makeAuthorize } from './identity/authorize.ts';
import { makeIdentity } from './identity/identity.ts';
import { uuidv7 } from './platform/clock.ts';
import { createEngine } from './platform/engine.ts';
import { makeListener } from './platform/listener.ts';
import { makeSeal } from './platform/seal.ts';
import type { OpenData } from './server-data.ts';
import { modelSettings } from './server-models.ts';
import { makeSecrets } from './secrets/secrets.ts';
import { makeTemplateSecrets } from './secrets/template-secrets.ts';
import { makeCoderBuilds } from './workspaces/coder-builds.ts';
import type { ServiceOptions } from './server-options.ts';
import { databaseLooks } from './metrics/looks.ts';
import { makeMetrics } from './metrics/metrics.ts';

/** What {@link makeBase} answers. */
export type Base = ReturnType<typeof makeBase>;

/** The parts that every piece of work stands on: engine, audit, secrets, Coder, identity, gateway and broker. */
export function makeBase({ config, clock, log }: ServiceOptions, { database, keys, anchorPath }: OpenData) {
  const listener = makeListener({ url: database.url, log });
  const engine = createEngine({
    database,
    executorId: uuidv7(clock),
    log,
    singleProcess: !config.mayHaveReplicas,
  });
  const audit = makeAuditLog({ database, keys: keys.auditKeys, clock, log });
  const chainer = makeChainer({
    database,
    keys: keys.auditKeys,
    clock,
    log,
    anchorPath,
  });
  const seal = makeSeal(keys);
  const templateSecrets = makeTemplateSecrets({ database, seal, audit, clock });
  const secrets = makeSecrets({ database, seal, audit, clock });
  const metrics = makeMetrics();
  const coderOptions: CallerOptions = {
    url: config.coder.url,
    serviceToken: config.coder.serviceToken ?? '',
    timeoutMs: config.coder.timeoutSeconds * 1_000,
    clock,
    log,
    record: (call) => {
      metrics.coderCalled(call);
      return auditCoderCall(audit, database, call);
    },
  };
  const coder = makeCoder(coderOptions);
  const builds = makeCoderBuilds(makeCaller(coderOptions));
  const identity = makeIdentity({ coder, clock });
  const authorize = makeAuthorize(coder);
  const registry = makeRegistry();
  const presence = makePresence({ database, registry, clock, log, processId: uuidv7(clock) });
  const { offered: allowedModels, ...models } = modelSettings(config);
  const { defaultModel } = models;
  const gateway = makeGateway({
    ...models,
    database,
    audit,
    providerKey: makeProviderKey({
      database,
      secrets,
      upstreamUrl: config.model.upstreamUrl,
      clock,
    }),
    clock,
    log,
  });
  const gitIdentity = makeGitIdentity({ database, clock, ofTask: gateway.authenticate });
  const broker = makeBroker({
    database,
    audit,
    secrets,
    coder,
    authenticate: gitIdentity,
    clock,
    allowLoopback: config.allowInsecureHttp,
  });
  metrics.addLooks([
    ...databaseLooks(database, clock),
    {
      name: 'outrigger_secrets_overdue',
      help: 'Secrets whose `rotate_after` has passed, by organization.',
      labels: ['organization_id'],
      read: async () =>
        [...(await secrets.overdue())].map(([id, value]) => ({ labels: { organization_id: id }, value })),
    },
    {
      name: 'outrigger_model_upstream_open',
      help: '1 while some model failed so often that its provider is not asked for it, else 0.',
      read: () => (gateway.isUpstreamOpen() ? 1 : 0),
    },
  ]);
  return {
    metrics,
    config,
    clock,
    log,
    database,
    keys,
    listener,
    engine,
    audit,
    chainer,
    seal,
    templateSecrets,
    secrets,
    coderOptions,
    coder,
    builds,
    identity,
    authorize,
    registry,
    presence,
    defaultModel,
    allowedModels,
    gateway,
    gitIdentity,
    broker,
  };
}
