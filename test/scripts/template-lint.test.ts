import { describe, expect, it } from '@jest/globals';
import { lintTemplate } from '../../modules/policy/lint.ts';
import { refuseFaults } from '../../scripts/template-lint.ts';

type Json = Readonly<Record<string, unknown>>;
const resource = (type: string, bodies: Json): Json => ({ resource: { [type]: bodies } });
const data = (type: string, bodies: Json): Json => ({ data: { [type]: bodies } });
const app = (body: Json): Json => ({
  agent_id: '${coder_agent.main.id}',
  slug: 'ide',
  url: 'http://127.0.0.1:1',
  ...body,
});
const size = { name: 'size', option: [{ name: 'Small', value: 's' }] };
const preset = (body: Json): Json => ({
  data: {
    coder_parameter: { size },
    coder_workspace_preset: { one: { name: 'One', parameters: { size: 's' }, ...body } },
  },
});

describe('Our lint of a template', () => {
  it.each<readonly [rule: string, template: Json]>([
    ['agent-name', resource('coder_agent', { agent_main: {} })],
    ['agent-metadata', resource('coder_agent', { main: { metadata: [{ key: 'a' }, { key: 'a' }] } })],
    ['agent-metadata', resource('coder_agent', { main: { metadata: [{ key: 'x'.repeat(6145) }] } })],
    ['app-slug', resource('coder_app', { ide: app({ slug: 'Ide_1' }) })],
    ['app-slug-unique', resource('coder_app', { one: app({}), two: app({}) })],
    ['app-url', resource('coder_app', { ide: app({ url: 'localhost:13337' }) })],
    ['app-url', resource('coder_app', { ide: app({ url: 'http://' }) })],
    ['app-command', resource('coder_app', { ide: app({ command: 'sh' }) })],
    ['app-display-name', resource('coder_app', { ide: app({ display_name: 'x'.repeat(65) }) })],
    ['app-group', resource('coder_app', { ide: app({ group: 'x'.repeat(65) }) })],
    ['app-tooltip', resource('coder_app', { ide: app({ tooltip: 'x'.repeat(2049) }) })],
    ['metadata-keys', resource('coder_metadata', { box: { item: [{ key: 'cpu' }, { key: 'cpu' }] } })],
    ['parameter-name', data('coder_parameter', { size: { name: 'what size' } })],
    ['parameter-name-unique', data('coder_parameter', { one: { name: 'size' }, two: { name: 'size' } })],
    ['preset-parameter', preset({ parameters: { sise: 's' } })],
    ['preset-parameter', preset({ parameters: { size: 'xl' } })],
    ['preset-name-unique', data('coder_workspace_preset', { one: { name: 'One' }, two: { name: 'One' } })],
    ['preset-description', preset({ description: 'x'.repeat(129) })],
    ['preset-default', data('coder_workspace_preset', { one: { default: true }, two: { default: true } })],
  ])('finds %s, once', (rule, template) => {
    expect(lintTemplate(template).map((fault) => fault.rule)).toEqual([rule]);
  });

  it.each<readonly [what: string, template: Json]>([
    ['a template that is right', preset({ default: true, description: 'x'.repeat(128) })],
    ['hyphens in an agent name', resource('coder_agent', { 'dev-tools': { metadata: [{ key: 'a' }, { key: 'b' }] } })],
    [
      'one slug with two agents',
      resource('coder_app', { one: app({}), two: app({ agent_id: '${coder_agent.other.id}' }) }),
    ],
    ['an external app of another scheme', resource('coder_app', { ide: app({ url: 'vscode://x/y', external: true }) })],
    [
      'an expression in a URL',
      resource('coder_app', { ide: app({ url: 'http://127.0.0.1:13337/${sha256("x")}/?folder=${local.f}' }) }),
    ],
    [
      'a URL that begins with an expression',
      resource('coder_app', { ide: app({ url: '${var.outrigger_url}/workspace/x', external: true }) }),
    ],
    ['options that only a build knows', preset({ parameters: { size: '${var.size}' } })],
  ])('finds nothing in %s', (_what, template) => {
    expect(lintTemplate(template)).toEqual([]);
  });

  it('names template, place, rule and what to do, and exits 1', () => {
    expect(() => refuseFaults('docker', resource('coder_agent', { agent_main: {} }))).toThrow(
      expect.objectContaining({
        exitCode: 1,
        message: expect.stringMatching(
          /^Template docker has 1 fault:\n {2}coder_agent\.agent_main \(agent-name\) names/,
        ),
      }),
    );
  });
});
