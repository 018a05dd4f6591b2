import { beforeAll, describe, expect, it } from '@jest/globals';
import { helperEnvironment, names, ports } from '../../modules/contract.ts';
import { blocksOf, type Body } from '../../modules/policy/template.ts';
import { firstOf, planned, plannedPod } from '../support/terraform/kubernetes-template.ts';
import { planOf, type Plan } from '../support/terraform/docker-template.ts';
import { terraformPath } from '../support/terraform/terraform.ts';
import { everyTemplate, isPlanned, planTemplate, views, type View } from './view.ts';

const withTerraform = terraformPath === null ? describe.skip : describe;
const image = (name: string, digit: string): string => `registry.example.com/${name}:1@sha256:${digit.repeat(64)}`;
const [plainImage, oneImage, severalImage] = [image('devbox', 'a'), image('code-server', 'b'), image('editors', 'c')];
const admin = {
  executor_images: [plainImage, oneImage, severalImage],
  ide_images: [oneImage, severalImage],
  ide_kinds: { [severalImage]: ['openvscode-server', 'vscode-web'] },
};
const chosenImage = (reference: string) => ({ executor_image: reference.replace(/:1@.*$/, '') });

const appOf = (plan: Plan): Body => planned(plan, 'coder_app.ide[0]') ?? {};

/** What the worker of a plan is told, by name. */
function toldWorker(view: View, plan: Plan): Readonly<Record<string, string>> {
  if (view.isDocker) {
    const { env } = planned(plan, 'docker_container.worker[0]') as { env: readonly (string | null)[] };
    // What only the build knows has no line yet.
    const known = env.filter((line) => typeof line === 'string');
    return Object.fromEntries(known.map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]));
  }
  return Object.fromEntries(blocksOf(workerOf(plan), 'env').map(({ name, value }) => [String(name), String(value)]));
}
const workerOf = (plan: Plan): Body =>
  (plannedPod(plan).container as Body[]).find(({ name }) => name === names.containers.worker) ?? {};

/** Kata has the pod of Kubernetes, and each plan takes seconds. */
const platforms = everyTemplate.filter(([name]) => name !== 'kata');

withTerraform.each(platforms)('the editor of %s, as Terraform plans it', (_name, view) => {
  let usual: Plan;
  let moved: Plan;
  let chosen: Plan;
  let none: Plan;
  beforeAll(async () => {
    usual = await planTemplate(view, admin, chosenImage(oneImage));
    moved = await planTemplate(view, { ...admin, ide_port: 18_080, wildcard_host: true }, chosenImage(severalImage));
    chosen = await planTemplate(view, admin, { ...chosenImage(severalImage), ide: 'vscode-web' });
    none = await planTemplate(view, admin, chosenImage(plainImage));
  }, 300_000);

  it('I-12 is an app with the slug ide, called by the kind that the image holds or the person chose, in no container of its own', () => {
    const kinds = [usual, moved, chosen].map((plan) => [appOf(plan)['slug'], appOf(plan)['display_name']]);

    expect(kinds).toEqual([
      ['ide', 'code-server'],
      ['ide', 'openvscode-server'],
      ['ide', 'vscode-web'],
    ]);
    expect([usual, moved, chosen, none].map((plan) => toldWorker(view, plan)[helperEnvironment.ide])).toEqual([
      'code-server',
      'openvscode-server',
      'vscode-web',
      'none',
    ]);
    expect(isPlanned(none, 'coder_app.ide[0]')).toBe(false);
    expect(view.containers.filter((one) => /ide|vscode|code-server/.test(one.name))).toEqual([]);
  });

  it('P-16 offers openvscode-server where an image holds it beside another, with a warning', () => {
    const { option } = view.body('data.coder_parameter.ide')['dynamic'] as { option: readonly { content: Body }[] };

    expect(option[0]?.content['name']).toMatch(
      /"openvscode-server" \? "openvscode-server \(no release since [A-Z]\w+ 2026\)"/,
    );
    expect(appOf(moved)['display_name']).toBe('openvscode-server');
  });

  it('I-14 O-64 is behind a port named ide, 13337 unless the admin says otherwise, on loopback', () => {
    expect(ports.ide).toBe(13_337);
    for (const [plan, port] of [
      [usual, '13337'],
      [moved, '18080'],
    ] as const) {
      const { url, healthcheck } = appOf(plan);
      // Behind it comes a path that only the build knows, so the plan knows the address of no app.
      expect(url ?? null).toBeNull();
      expect(healthcheck).toBeDefined();
      expect(toldWorker(view, plan)[helperEnvironment.idePort]).toBe(port);
      if (view.isDocker) continue;
      const { name, container_port: given } = firstOf(workerOf(plan), 'port');
      expect([name, String(given)]).toEqual(['ide', port]);
    }
    const address = 'http://127.0.0.1:${var.ide_port}/${sha256("ide:${coder_agent.main.token}")}';
    const { url, healthcheck } = view.body('coder_app.ide');
    expect(url).toBe(`${address}/?folder=\${local.folder}&follow=task`);
    expect(healthcheck).toMatchObject({ url: `${address}/healthz` });
  });

  it('tells the editor the path that browsers see, where it has no host of its own', () => {
    const paths = [usual, moved].map((plan) => toldWorker(view, plan)[helperEnvironment.ideBasePath]);

    expect(paths).toEqual(['/@ada/Blue-Whale.main/apps/ide', '']);
  });
});

withTerraform('the admin’s word about editors', () => {
  const [view] = views;
  if (view === undefined) throw new Error('There is no template.');
  const wrong: readonly (readonly [what: string, variables: Readonly<Record<string, unknown>>, sentence: RegExp])[] = [
    ['a port that OpenCode has', { ide_port: ports.opencode }, /Choose another: 4096 and 3001/],
    ['a port that the bridge has', { ide_port: ports.bridge }, /Choose another: 4096 and 3001/],
    ['a port that only root may open', { ide_port: 443 }, /Give a whole number from 1024 to 65535, such as 13337\./],
    ['half a port', { ide_port: 8080.5 }, /Give a whole number from 1024 to 65535, such as 13337\./],
    ['another editor', { ide_kinds: { [oneImage]: ['emacs'] } }, /at least one of code-server, openvscode-server/],
    ['an image without one', { ide_kinds: { [plainImage]: ['code-server'] } }, /Name only images that ide_images has/],
  ];

  /** The variables alone: they are judged before anything else, and without a provider in no time. */
  const declared = ['executor_images', 'ide_images', 'ide_kinds', 'ide_port'];
  const text = JSON.stringify({
    variable: Object.fromEntries(declared.map((name) => [name, view.body(`var.${name}`)])),
  });
  const judged = (variables: Readonly<Record<string, unknown>>): Promise<string> =>
    planOf('main.tf.json', text, {}, { ...admin, ...variables }).then(
      () => 'It was planned.',
      (error: unknown) => String(error).replaceAll(/\s+/g, ' '),
    );

  it.each(wrong)(
    'is not %s',
    async (_what, variables, sentence) => {
      expect(await judged({})).toBe('It was planned.');
      const failure = await judged(variables);

      expect(failure).toMatch(sentence);
    },
    120_000,
  );
});
