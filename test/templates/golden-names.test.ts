import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { names } from '../../modules/contract.ts';
import { at } from '../../modules/policy/containers.ts';
import { blocksOf, type Body } from '../../modules/policy/template.ts';
import { templatesDirectory } from '../../scripts/template.ts';
import { everyTemplate, type View } from './view.ts';

const workspaceId = '${data.coder_workspace.me.id}';
/** What our own label says on everything of a workspace: a task is told by its workspace's id (DECISIONS 43). */
const own = 'outrigger/workspace-id';

const ofType = (view: View, type: RegExp) =>
  view.all
    .filter((one) => one.kind === 'resource' && type.test(one.type))
    .map(({ name, body }) => [name, body] as const);

/** Labels in force on a resource of Docker, as the map that its blocks are made of. */
const dockerLabels = (body: Body): string => {
  const [made] = (body.dynamic as { labels: { for_each: string; content: Body }[] }).labels;
  expect(made?.content).toEqual({ label: '${labels.key}', value: '${labels.value}' });
  return made?.for_each ?? '';
};

describe.each(everyTemplate)('the names of the template %s', (name, view) => {
  it('C-32 are the literal ones: labels, containers, workspace agent and apps', () => {
    const labels = view.body('local.labels').value as Readonly<Record<string, string>>;
    expect(labels[own]).toBe(workspaceId);
    if (view.isDocker) {
      expect(labels).toMatchObject({ 'coder.workspace_id': workspaceId, 'coder.owner': expect.any(String) });
      const labelled = ofType(view, /^docker_(container|network|volume)$/);
      expect(labelled.length).toBeGreaterThan(10);
      for (const [, body] of labelled) expect(dockerLabels(body)).toMatch(/^\$\{merge\(local\.labels, \{ .* \}\)\}$/);
      for (const container of Object.values(names.containers))
        expect(dockerLabels(view.body(`docker_container.${container}`))).toContain(
          `"outrigger/container" = "${container}"`,
        );
    } else {
      expect(labels).toEqual({
        'app.kubernetes.io/name': 'coder-workspace',
        'app.kubernetes.io/instance': `coder-workspace-${workspaceId}`,
        'app.kubernetes.io/part-of': 'coder',
        'com.coder.resource': 'true',
        'com.coder.workspace.id': workspaceId,
        'com.coder.workspace.name': '${data.coder_workspace.me.name}',
        'com.coder.user.id': '${data.coder_workspace_owner.me.id}',
        'com.coder.user.username': '${data.coder_workspace_owner.me.name}',
        [own]: workspaceId,
      });
      const labelled = ofType(view, /^kubernetes_/);
      expect(labelled.length).toBeGreaterThan(6);
      for (const [, body] of labelled)
        expect(String(at(body, 'metadata').labels)).toMatch(/^\$\{(merge\()?local\.labels\b/);
      const pod = at(view.body('kubernetes_deployment_v1.workspace'), 'spec', 'template', 'metadata');
      expect(pod.labels).toBe('${local.labels}');
    }

    const { init, worker, sidecar, network, egress } = names.containers;
    expect([init, worker, sidecar]).toEqual(['opencode-init', 'worker', 'opencode']);
    expect(view.containers.map((one) => one.name).sort()).toEqual(
      [init, worker, sidecar, ...(view.isDocker ? [network, egress] : [])].sort(),
    );
    expect(ofType(view, /^coder_agent$/).map(([agent]) => agent)).toEqual(['main']);

    const apps = ofType(view, /^coder_app$/);
    expect(apps.map(([app, { slug, order }]) => [app, slug, order])).toEqual([
      ['ide', 'ide', 1],
      ['opencode', 'opencode', 2],
      ['outrigger', 'outrigger', 3],
    ]);
    expect(view.body('coder_app.outrigger')).toMatchObject({
      external: true,
      count: '${var.outrigger_page_url == "" ? 0 : 1}',
      url: `\${var.outrigger_page_url}/workspace/${workspaceId}`,
    });
    expect(view.body('coder_app.outrigger')).not.toHaveProperty('share');
    // What Coder reads is what is committed.
    const hcl = readFileSync(join(templatesDirectory, name, 'main.tf'), 'utf8');
    expect(hcl).toMatch(/^resource "coder_app" "outrigger" \{\n[^}]*\n {2}external += true\n/m);
    expect(blocksOf(view.body('coder_app.outrigger'), 'healthcheck')).toEqual([]);
  });

  it('stand in the order of the stack, with what begins there said above', () => {
    const hcl = readFileSync(join(templatesDirectory, name, 'main.tf'), 'utf8');
    const at = (line: string): number => {
      const index = hcl.indexOf(`\n${line}`);
      if (index === -1) throw new Error(`There is no line ${line}.`);
      return index;
    };
    const inOrder = [
      'variable "outrigger_url"',
      'variable "executor_images"',
      'variable "max_cpu"',
      view.isDocker ? 'variable "docker_host"' : 'variable "namespace"',
      'data "coder_workspace" "me"',
      'data "coder_parameter" "executor_image"',
      'data "coder_parameter" "cpu"',
      'data "coder_parameter" "advanced"',
      'data "coder_workspace_preset" "node"',
      'resource "coder_agent" "main"',
      'resource "coder_app" "ide"',
      view.isDocker ? 'resource "docker_container" "opencode-init"' : 'resource "kubernetes_deployment_v1" "workspace"',
      'resource "coder_metadata" "worker"',
    ].map(at);

    expect(inOrder).toEqual([...inOrder].sort((one, other) => one - other));
    const form = hcl.slice(at('data "coder_parameter" "executor_image"'), at('data "coder_workspace_preset" "node"'));
    const orders = [...form.matchAll(/^ {2}order {8}= (\d+)$/gm)].map(([, order]) => Number(order));
    expect(orders.length).toBeGreaterThan(14);
    expect(orders).toEqual([...orders].sort((one, other) => one - other));
    expect(hcl).toMatch(/^# .*\nresource "coder_agent" "main" \{$/m);
  });
});
