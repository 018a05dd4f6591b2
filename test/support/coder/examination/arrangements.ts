import { recordedForm } from './recorded-form.ts';
import { ids, type RecordedWorld } from './recorded-world.ts';
import { finished, instant } from '../timeline.ts';

type Arrange = (world: RecordedWorld, send: (number: string) => Promise<unknown>) => void | Promise<unknown>;

const never = Number.POSITIVE_INFINITY;
const pending = { ...instant, pendingMs: never };
const running = { ...finished, runningMs: never };
const connecting = { ...finished, connectMs: never };
const connected = { ...finished, readyMs: never };
const canceled = { status: 'failed', wasCanceled: true, error: 'terraform apply: exit status 1' } as const;

const stopped: Arrange = (world) => world.build(ids.main, { transition: 'stop' });
const building: Arrange = (world) => world.build(ids.main, { transition: 'start', timing: running });
const deleted: Arrange = (world) =>
  world.build(ids.preset, { transition: 'delete', id: '1f8c9bc2-3316-4981-ad12-98d493a3d133' });
const failedSyntax: Arrange = (world) => world.version('93b3758e-3486-4a29-bbeb-8f0377ec52b6', { status: 'failed' });
const failedPlan: Arrange = (world) => world.version('44840f15-3309-4f46-86f3-81fde438ca72', { status: 'failed' });
const failedVariable: Arrange = (world) =>
  world.version('0e7e5c3e-29be-4f9e-b570-2fc6450e248e', { status: 'failed', errorCode: 'REQUIRED_TEMPLATE_VARIABLES' });
const failedEmpty: Arrange = (world) => world.version('1c3ba711-d530-4943-bbd8-775bfe0813b0', { status: 'failed' });
const without =
  (id: string) =>
  (world: RecordedWorld): void =>
    void world.coder.world.workspaces.delete(id);
const withoutTtl = (world: RecordedWorld): void =>
  void Object.assign(world.coder.world.workspaces.get(ids.main) ?? {}, { ttlMs: null });

const withVariables: Arrange = (world) =>
  void Object.assign(world.coder.world.versions.get(ids.version1) ?? {}, {
    variables: { agent_url: 'http://coder.test', labels: '{"team":"core"}' },
  });

/** What must be so before a recording can be replayed, where the ordinary recorded world does not do. */
export const arrangements: Readonly<Record<string, Arrange>> = {
  // Tokens and files that were there already.
  '092': (_world, send) => send('090'),
  '151': (_world, send) => send('150'),
  '152': (_world, send) => send('150'),
  '916': (_world, send) => send('909'),
  '923': (_world, send) => send('909'),
  '931': (_world, send) => send('909'),
  '937': (_world, send) => send('909'),

  '158': ({ coder }) => {
    const file = coder.world.files.get(ids.file);
    if (file) coder.world.files.set(ids.file, { ...file, bytes: Buffer.from('stands for the bytes of one archive') });
  },

  // Versions and templates.
  '171': (world) => world.version(ids.version1, { timing: pending }),
  '173': (world) => world.version(ids.version1, { timing: pending }),
  '175': (world) => world.version(ids.version1, { timing: pending }),
  '174': (world) => world.version(ids.version1, { timing: pending }),
  '177': (world) => world.version('8e4aef94-73e6-4684-bb35-bce8f038c42c', { timing: pending }),
  '178': (world) => world.version(ids.version1, { timing: running }),
  '180': (world) => world.version(ids.version1, { timing: running }),
  '182': (world) => world.version(ids.version1, {}),
  '185': (world) => world.version(ids.version1, {}),
  '189': withVariables,
  '205': failedSyntax,
  '206': failedSyntax,
  '214': failedSyntax,
  '207': failedPlan,
  '208': failedPlan,
  '209': failedVariable,
  '210': failedVariable,
  '211': failedEmpty,
  '212': failedEmpty,
  '215': (world) => {
    const id = '2694bdc2-e86b-48f6-bdfc-e1978e54b0bd';
    world.coder.world.files.set(id, { id, ownerId: ids.templateAdmin, digest: id, bytes: Buffer.from('') });
  },
  '218': (world) => world.version('554b01ce-3fe2-4a5f-8dce-2111fba4c8ad', { status: 'canceled' }),
  '250': (world) => {
    world.coder.world.templates.delete(ids.recDocker);
    world.version(ids.version1, {});
  },
  '253': failedSyntax,
  '257': failedPlan,
  '268': withVariables,
  '285': (world) =>
    world.version('885e66d8-ad9e-4d79-8b3c-9978965d0da9', { status: 'failed', templateId: ids.recDocker }),

  // New workspaces, before they were there.
  '342': without(ids.main),
  '345': (world) => {
    without(ids.preset)(world);
    const presets = [
      { id: 'b1596f10-a1e3-4a48-b62e-ebcf599ebc7a', name: 'Large', parameters: { cpu: '4', size: 'l' } },
    ];
    Object.assign(world.coder.world.versions.get(ids.version2) ?? {}, { form: { ...recordedForm, presets } });
  },
  '347': without(ids.fail),
  '349': without(ids.ghost),

  // A first build on its way.
  '360': building,
  '361': building,
  '362': building,
  '363': building,
  '365': (world) => world.build(ids.main, { transition: 'start', timing: connecting }),
  '366': (world) => world.build(ids.main, { transition: 'start', timing: connected }),
  '380': (world) => {
    world.unbuilt(ids.fail);
    const id = '909cf98f-22c8-4c0e-a7d8-f6cca03f82bc';
    world.build(ids.fail, {
      id,
      transition: 'start',
      ends: { status: 'failed', error: 'terraform apply: exit status 1' },
    });
  },
  '460': (world) => world.build(ids.main, { transition: 'start', id: 'a540c057-6538-4715-a82e-9a452603b992' }),
  '461': (world) => world.build(ids.main, { transition: 'start', id: 'a540c057-6538-4715-a82e-9a452603b992' }),

  '466': (world) =>
    world.build(ids.main, {
      transition: 'start',
      id: 'a540c057-6538-4715-a82e-9a452603b992',
      parameters: { size: 's', branch: 'main', cpu: '2' },
    }),

  // The workspaces of rec-null have no agent in the recordings.
  '400': (world) => world.build(ids.byOwner, { transition: 'stop' }),

  // Given to another member, after the owner switched autostop off.
  '607': (world) => {
    world.coder.world.workspaces.get(ids.main)?.shared.set(ids.bob, 'use');
    withoutTtl(world);
    world.build(ids.main, { transition: 'start' });
  },

  // Stop and start again.
  '741': (world) => {
    withoutTtl(world);
    world.build(ids.main, { transition: 'stop', timing: running });
  },
  '742': (world) => {
    withoutTtl(world);
    world.build(ids.main, { transition: 'stop' });
  },
  '743': (world) => world.build(ids.main, { transition: 'stop', id: '1cfd8579-ea21-470d-9282-e6ae82916b61' }),
  '751': stopped,
  '765': stopped,
  '769': stopped,

  '774': (world) => world.coder.loseAgent(ids.main),

  // Canceled.
  '803': (world) => onAnother(world, ids.pending, 'rec-pend', { timing: pending }),
  '807': (world) =>
    onAnother(world, ids.pending, 'rec-pend', {
      id: '55309515-4fbe-427b-a5d5-eb9eb97127d3',
      ends: { status: 'canceled' },
    }),
  '810': (world) =>
    onAnother(world, ids.cancel, 'rec-cancel', {
      id: '3b551bf8-bd17-4518-bba7-c0eb338065a2',
      ends: { status: 'canceling' },
    }),
  '811': (world) =>
    onAnother(world, ids.cancel, 'rec-cancel', { id: '3b551bf8-bd17-4518-bba7-c0eb338065a2', ends: canceled }),
  '813': (world) => onAnother(world, ids.cancel, 'rec-cancel', { ends: canceled }),

  // Deleted.
  '821': (world) => world.build(ids.preset, { transition: 'delete', timing: running }),
  '822': deleted,
  '823': deleted,
  '824': deleted,
  '825': deleted,
  '826': deleted,
  '827': deleted,
  '830': deleted,
  '834': deleted,
  '833': (world) => world.build(ids.fail, { transition: 'delete' }),

  // Too often.
  '850': (_world, send) => repeat(512, () => send('850')),
  '852': (_world, send) => repeat(512, () => send('850')),
  '853': (_world, send) => repeat(12, () => send('853')),
};

function onAnother(
  { coder, unbuilt, build }: RecordedWorld,
  id: string,
  name: string,
  last: Omit<Parameters<RecordedWorld['build']>[1], 'transition'>,
): void {
  coder.addWorkspace({ owner: 'alice', name, running: true, id, template: 'rec-docker' });
  unbuilt(id);
  build(id, { transition: 'start', ...last });
}

async function repeat(times: number, act: () => Promise<unknown>): Promise<void> {
  for (let done = 0; done < times; done += 1) await act();
}

/** Recordings that the simulation does not answer as Coder did, each with the reason. */
export const notSimulatedCases: Readonly<Record<string, string>> = {
  '413-workspaces-list-param-filter': 'parameters of templates are not simulated',
  '472-builds-immutable-changed': 'parameters of templates are not simulated',
  '473-builds-bad-value': 'parameters of templates are not simulated',
};

/** Paths whose content depends on what is not simulated: app status, presets, and maps with free keys. */
export const ignoredPaths: ReadonlySet<string> = new Set(
  ['', 'latest_build.', 'workspaces[].', 'workspaces[].latest_build.'].flatMap((prefix) =>
    [
      'latest_app_status',
      'template_version_preset_id',
      'resources[].agents[].environment_variables',
      'resources[].agents[].latency',
    ].map((path) => prefix + path),
  ),
);
