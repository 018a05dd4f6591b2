import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { inSynthesized, onStack, secretFiles, type DeployPlan } from '../support/terraform/deployable.ts';
import { terraformPath } from '../support/terraform/terraform.ts';

const withTerraform = terraformPath === null ? describe.skip : describe;

type Values = Readonly<Record<string, unknown>>;
/** What must hold of a planned object, by the words of a failure. */
type Rules = Readonly<Record<string, (values: Values) => boolean>>;

const broken = (rules: Rules, values: Values): string[] =>
  Object.keys(rules).filter((name) => rules[name]?.(values) !== true);

/** A copy in which one place, such as `security_context.0.privileged`, holds something else. */
function changed(values: Values, path: string, to: unknown): Values {
  const copy = structuredClone(values) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const place = keys.reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, copy);
  expect(place[last]).not.toEqual(to);
  place[last] = to;
  return copy;
}

const at = (values: Values, path: string): unknown =>
  path.split('.').reduce<unknown>((place, key) => (place as Record<string, unknown> | undefined)?.[key], values);

const values = (plan: DeployPlan, address: string): Values =>
  plan.planned_values.root_module.resources?.find((resource) => resource.address === address)?.values ?? {};

const containerRules: Rules = {
  'is not root': ({ user }) => user === '1000:0',
  'has no privileges': ({ privileged }) => privileged === false,
  'has no capability': (own) =>
    JSON.stringify(at(own, 'capabilities.0.drop')) === '["ALL"]' && (at(own, 'capabilities.0.add') ?? null) === null,
  'gains none': ({ security_opts: options }) => JSON.stringify(options) === '["no-new-privileges:true"]',
  'cannot write its root': ({ read_only: readOnly }) => readOnly === true,
  'has limits': (own) => Number(own['memory']) > 0 && own['memory_swap'] === own['memory'] && Number(own['cpus']) > 0,
  'mounts volumes only': ({ mounts, volumes, devices }) =>
    (mounts as Values[]).every(({ type }) => type === 'volume') &&
    [volumes, devices].every((list) => (list as unknown[] | undefined)?.length === 0),
  'shares no namespace': (own) =>
    ['pid_mode', 'ipc_mode', 'userns_mode', 'network_mode'].every((name) => typeof own[name] !== 'string'),
  'publishes nothing unasked': ({ ports }) => (ports as unknown[]).length === 0,
  'starts again by itself': ({ restart }) => restart === 'unless-stopped',
  'is watched': (own) => String(at(own, 'healthcheck.0.test')).includes('/readyz'),
};

const podRules: Rules = {
  'has no account': (pod) => pod['automount_service_account_token'] === false,
  'shares nothing of the node': (pod) =>
    ['host_network', 'host_pid', 'host_ipc'].every((name) => (pod[name] ?? false) === false),
  'is not root': (pod) => at(pod, 'security_context.0.run_as_non_root') === true,
  'keeps the default seccomp profile': (pod) =>
    at(pod, 'security_context.0.seccomp_profile.0.type') === 'RuntimeDefault',
  'leaves closed folders closed': (pod) => at(pod, 'security_context.0.fs_group_change_policy') === 'OnRootMismatch',
};

/** Pod Security "restricted", and what we ask beyond it. */
const podContainerRules: Rules = {
  'says itself that it is not root': (one) => at(one, 'security_context.0.run_as_non_root') === true,
  'has no privileges': (one) => at(one, 'security_context.0.privileged') === false,
  'gains none': (one) => at(one, 'security_context.0.allow_privilege_escalation') === false,
  'has no capability': (one) => JSON.stringify(at(one, 'security_context.0.capabilities.0.drop')) === '["ALL"]',
  'cannot write its root': (one) => at(one, 'security_context.0.read_only_root_filesystem') === true,
  'has limits': (one) => ['cpu', 'memory'].every((name) => at(one, `resources.0.limits.${name}`) !== undefined),
  'is asked whether it lives': (one) => at(one, 'liveness_probe.0.http_get.0.path') === '/healthz',
  'is asked whether it serves': (one) => at(one, 'readiness_probe.0.http_get.0.path') === '/readyz',
};

withTerraform('what the service stacks plan', () => {
  let secrets = '';
  let container: Values = {};
  const pods: Record<string, Values> = {};

  beforeAll(async () => {
    secrets = mkdtempSync(join(tmpdir(), 'outrigger-secrets-'));
    const own = {
      service_image: `registry.example.com/outrigger-service:1@sha256:${'a'.repeat(64)}`,
      coder_url: 'https://coder.example.com',
      outrigger_url: 'https://outrigger.example.com',
      ...secretFiles(secrets, ['coder-token']),
    };
    const shared = { ...own, ...secretFiles(secrets, ['database-url', 'keyring', 'audit-signing-key']) };
    const podOf = (plan: DeployPlan, address: string) =>
      at(values(plan, address), 'spec.0.template.0.spec.0') as Values;
    await inSynthesized({ OUTRIGGER_STACKS: 'docker-service,kubernetes-service' }, async (directory) => {
      container = values(
        await onStack(directory, 'docker-service', own, ({ plan }) => plan()),
        'docker_container.service',
      );
      const alone = await onStack(directory, 'kubernetes-service', own, ({ plan }) => plan());
      pods['StatefulSet'] = podOf(alone, 'kubernetes_stateful_set_v1.service[0]');
      const many = await onStack(directory, 'kubernetes-service', shared, ({ plan }) => plan());
      pods['Deployment'] = podOf(many, 'kubernetes_deployment_v1.service[0]');
    });
  });
  afterAll(() => rmSync(secrets, { recursive: true, force: true }));

  it('is a container without any way out', () => {
    expect(broken(containerRules, container)).toEqual([]);
  });

  it.each([
    ['user', 'root', 'is not root'],
    ['privileged', true, 'has no privileges'],
    ['capabilities.0.drop', [], 'has no capability'],
    ['capabilities.0.add', ['SYS_ADMIN'], 'has no capability'],
    ['security_opts', [], 'gains none'],
    ['read_only', false, 'cannot write its root'],
    ['memory', 0, 'has limits'],
    ['mounts.0.type', 'bind', 'mounts volumes only'],
    ['network_mode', 'host', 'shares no namespace'],
    ['ports', [{ internal: 7676 }], 'publishes nothing unasked'],
    ['restart', 'no', 'starts again by itself'],
    ['healthcheck', [], 'is watched'],
  ])('is judged: a container with another %s is seen', (path, to, rule) => {
    expect(broken(containerRules, changed(container, path, to))).toContain(rule);
  });

  it.each(['StatefulSet', 'Deployment'])(
    'is a %s that Pod Security "restricted" takes, with limits (part of S-55)',
    (kind) => {
      const pod = pods[kind] ?? {};
      const containers = [...((pod['container'] ?? []) as Values[]), ...((pod['init_container'] ?? []) as Values[])];

      expect(broken(podRules, pod)).toEqual([]);
      expect(containers).toHaveLength(1);
      expect(containers.flatMap((one) => broken(podContainerRules, one))).toEqual([]);
    },
  );

  it.each([
    ['security_context.0.run_as_non_root', false, 'says itself that it is not root'],
    ['security_context.0.privileged', true, 'has no privileges'],
    ['security_context.0.allow_privilege_escalation', true, 'gains none'],
    ['security_context.0.capabilities.0.drop', [], 'has no capability'],
    ['security_context.0.read_only_root_filesystem', false, 'cannot write its root'],
    ['resources.0.limits', {}, 'has limits'],
    ['liveness_probe.0.http_get.0.path', '/', 'is asked whether it lives'],
    ['readiness_probe.0.http_get.0.path', '/', 'is asked whether it serves'],
  ])('is judged: a pod whose container has another %s is seen', (path, to, rule) => {
    const [container] = (pods['StatefulSet']?.['container'] ?? []) as Values[];

    expect(broken(podContainerRules, changed(container ?? {}, path, to))).toContain(rule);
  });

  it.each([
    ['automount_service_account_token', true, 'has no account'],
    ['host_network', true, 'shares nothing of the node'],
    ['security_context.0.run_as_non_root', false, 'is not root'],
    ['security_context.0.seccomp_profile.0.type', 'Unconfined', 'keeps the default seccomp profile'],
    ['security_context.0.fs_group_change_policy', 'Always', 'leaves closed folders closed'],
  ])('is judged: a pod with another %s is seen', (path, to, rule) => {
    expect(broken(podRules, changed(pods['StatefulSet'] ?? {}, path, to))).toContain(rule);
  });
});
