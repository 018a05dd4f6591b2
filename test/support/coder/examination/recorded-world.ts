import { randomUUID } from 'node:crypto';
import type { NewBuild, SimulatedWorkspace } from '../world.ts';
import { addBuild } from '../world.ts';
import { startSimulatedCoder, type SimulatedCoder } from '../simulated-coder.ts';
import { finished, type BuildTiming } from '../timeline.ts';
import { recordedForm } from './recorded-form.ts';
import { recordings } from './recordings.ts';

/** Ids of the recorded deployment, so that recorded paths and bodies can be replayed as they are. */
export const ids = {
  organization: '353966b5-ed16-4722-b1fe-629848082c39',
  alice: 'b78c72b5-28ac-409b-9cd9-940d19975385',
  bob: 'd0644000-4488-4b87-953c-37c11b082132',
  admin: '4e24cb6f-a0ca-4270-b6cf-c806df35547a',
  templateAdmin: 'd934c457-f4f1-4a41-8e0a-6cdbea26f936',
  recDocker: '398d449d-b190-42b0-9d60-7a0253e412c8',
  recNull: 'bbefe16a-c802-463c-a217-b16d8dc27647',
  main: '563e8695-8983-429a-906e-24eeee94c068',
  fail: '618d4b92-5f4b-4266-991c-e062aa67214d',
  byOwner: 'd06be9b8-bbbb-43ab-9fff-c4bc4e2a9557',
  ghost: '104532c6-cb0b-4f49-b126-a2ecfd5f5704',
  preset: '60cd235f-b946-4c56-9bd2-fe1d820e5c8c',
  block: 'f40a8b80-aee1-477d-b469-fbddb6138595',
  cancel: '51d61cc9-769a-48ea-8cd0-4ceedf950e8c',
  pending: 'c1658cd1-15bf-4e02-a7fe-c1ff2651189b',
  version1: '0e01b42b-d10a-43a3-a558-d1030077067c',
  version2: '32e14d11-209a-4bae-8f0d-4493b12ada75',
  versionNull: 'a41bb921-0ef2-4a27-9c52-6ed4355d6506',
  file: '7f36f442-8609-49bb-8386-15bdd130ea10',
  sharedFile: '60c721ce-6a32-4127-a63a-2b504d440e2d',
} as const;

/** The recorded deployment, as it was after its workspaces were built. */
export interface RecordedWorld {
  readonly coder: SimulatedCoder;
  /** Names in the recordings (`<member>`) → the token to send instead. */
  readonly tokens: Readonly<Record<string, string>>;
  /** Makes the latest build of a workspace this one. */
  build(workspaceId: string, build: Omit<NewBuild, 'initiatorId'>): void;
  /** Takes every build away, so that the next one is the first. */
  unbuilt(workspaceId: string): void;
  version(
    id: string,
    version: { templateId?: string | null; timing?: BuildTiming; status?: 'failed' | 'canceled'; errorCode?: string },
  ): void;
}

export async function startRecordedWorld(): Promise<RecordedWorld> {
  const coder = await startSimulatedCoder({ organizationId: ids.organization });
  const tokens = addPeople(coder);
  addTemplates(coder);
  addWorkspaces(coder);
  const find = (id: string): SimulatedWorkspace => {
    const workspace = coder.world.workspaces.get(id);
    if (!workspace) throw new Error(`There is no workspace ${id}.`);
    return workspace;
  };
  return {
    coder,
    tokens,
    build: (id, build) =>
      void addBuild(coder.world, find(id), { timing: finished, ...build, initiatorId: find(id).ownerId }),
    unbuilt: (id) => void find(id).builds.splice(0),
    version: (id, version) => addVersion(coder, id, version),
  };
}

function addPeople(coder: SimulatedCoder): Readonly<Record<string, string>> {
  const member = coder.addUser({ username: 'alice', id: ids.alice }).token;
  const otherMember = coder.addUser({ username: 'bob', id: ids.bob }).token;
  const owner = coder.addUser({ username: 'admin', id: ids.admin, roles: ['owner'] }).token;
  const templateAdmin = coder.addUser({ username: 'tadmin', id: ids.templateAdmin, roles: ['template-admin'] }).token;
  const suspended = coder.addUser({ username: 'sus' }).token;
  coder.suspend('sus');
  const secret = 'x'.repeat(22);
  return {
    member,
    owner,
    suspended,
    'other-member': otherMember,
    'template-admin': templateAdmin,
    malformed: 'not-a-token',
    'malformed-long': `aaaaaaaaaa-${secret}`,
    revoked: `bbbbbbbbbb-${secret}`,
    'session-token': `cccccccccc-${secret}`,
    'wrong-secret': `${member.slice(0, 11)}${secret}`,
    agent: randomUUID(),
    expired: coder.addToken({ owner: 'alice', name: 'expired', expiresAt: 1 }),
    ...scopedTokens(coder),
  };
}

/** Scoped tokens are named after the recording that made them; their scopes are in its request. */
function scopedTokens(coder: SimulatedCoder): Readonly<Record<string, string>> {
  const made: Readonly<Record<string, string>> = {
    scoped: '093',
    'one-workspace': '860',
    'al-ids': '867',
    'al-one-ws': '872',
    'al-types': '877',
    'sc-user': '882',
    'sc-operate': '888',
    'sc-operate2': '894',
    'sc-create': '898',
    'sc-access': '900',
    'sc-startstop': '904',
    'sc-startstop-user': '906',
    'sc-templates-author': '908',
    'sc-templates-build': '915',
    'sc-templates-min': '922',
    'sc-author-plus-organization': '930',
    'sc-author-plus-organization-user': '936',
  };
  const tokenOf = ([name, number]: readonly [string, string]): readonly [string, string] => {
    const recording = recordings.find((one) => one.number === number);
    if (!recording) throw new Error(`Recording ${number} is missing.`);
    const { scopes, allow_list: allowList } = recording.request.body as { scopes: string[]; allow_list?: string[] };
    const owner = recording.request.headers['Coder-Session-Token'] === '<template-admin>' ? 'tadmin' : 'alice';
    return [name, coder.addToken({ owner, name, scopes, ...(allowList ? { allowList } : {}) })];
  };
  return Object.fromEntries(Object.entries(made).map(tokenOf));
}

function addTemplates(coder: SimulatedCoder): void {
  const { templates, files } = coder.world;
  const common = { creatorId: ids.templateAdmin, createdAt: 0, description: '', allowUserCancel: false };
  const docker = { name: 'rec-docker', displayName: 'Docker', icon: '/icon/docker.svg', activeVersionId: ids.version2 };
  templates.set(ids.recDocker, { ...common, ...docker, id: ids.recDocker });
  const empty = { name: 'rec-null', displayName: '', icon: '', activeVersionId: ids.versionNull };
  templates.set(ids.recNull, { ...common, ...empty, id: ids.recNull });
  for (const id of [ids.file, ids.sharedFile])
    files.set(id, { id, ownerId: ids.templateAdmin, digest: id, bytes: Buffer.from('') });
  addVersion(coder, ids.version1, { templateId: ids.recDocker });
  addVersion(coder, ids.version2, { templateId: ids.recDocker }, 'v2');
  addVersion(coder, ids.versionNull, { templateId: ids.recNull }, 'n1');
}

function addVersion(
  coder: SimulatedCoder,
  id: string,
  version: Parameters<RecordedWorld['version']>[1],
  name = 'v1',
): void {
  const { templateId = null, timing = finished, status, errorCode } = version;
  coder.world.versions.set(id, {
    id,
    jobId: randomUUID(),
    name,
    message: '',
    readme: '',
    fileId: ids.file,
    creatorId: ids.templateAdmin,
    createdAt: coder.world.now(),
    timing,
    ends: {
      status: status ?? 'succeeded',
      ...(status === 'failed' ? { error: 'failed' } : {}),
      ...(errorCode ? { errorCode } : {}),
    },
    ...(templateId === ids.recDocker ? { form: recordedForm } : {}),
    templateId,
  });
}

function addWorkspaces(coder: SimulatedCoder): void {
  const alices = { owner: 'alice', running: true };
  coder.addWorkspace({ ...alices, name: 'rec-main', id: ids.main, template: 'rec-docker' });
  coder.addWorkspace({ ...alices, name: 'rec-preset', id: ids.preset, template: 'rec-docker' });
  coder.addWorkspace({ ...alices, name: 'rec-byowner', id: ids.byOwner, template: 'rec-null' });
  coder.addWorkspace({ ...alices, name: 'rec-ghost', id: ids.ghost, template: 'rec-null' });
  const ends = { status: 'failed', error: 'terraform apply: exit status 1' } as const;
  coder.addWorkspace({ ...alices, name: 'rec-fail', id: ids.fail, template: 'rec-null', ends });
  coder.addWorkspace({ owner: 'bob', running: true, name: 'rec-block', id: ids.block, template: 'rec-null' });
  Object.assign(coder.world.workspaces.get(ids.main) ?? {}, { ttlMs: 28_800_000 });
}
