import { noId, time } from './answers.ts';
import { phaseOf, statusWord, type Phase } from './timeline.ts';
import {
  latestBuild,
  type JobEnd,
  type SimulatedBuild,
  type SimulatedTemplate,
  type SimulatedUser,
  type SimulatedVersion,
  type SimulatedWorkspace,
  type World,
} from './world.ts';

/** JSON bodies with every key that a real Coder 2.36.0 sends; the recordings hold them to it. */

const roleTitles: Readonly<Record<string, string>> = {
  owner: 'Owner',
  'template-admin': 'Template Admin',
  'user-admin': 'User Admin',
  auditor: 'Auditor',
};

export function userBody(world: World, user: SimulatedUser) {
  return {
    id: user.id,
    username: user.username,
    ...(user.name === '' ? {} : { name: user.name }),
    email: user.email,
    created_at: time(user.createdAt),
    updated_at: time(user.createdAt),
    last_seen_at: time(world.now()),
    status: user.suspended ? 'suspended' : 'active',
    login_type: 'password',
    organization_ids: [world.organization.id],
    // Roles of the organization are not among these.
    roles: user.roles.flatMap((name) => (name in roleTitles ? [{ name, display_name: roleTitles[name] }] : [])),
    has_ai_seat: false,
  };
}

export const organizationBody = (world: World) => ({
  id: world.organization.id,
  name: world.organization.name,
  display_name: 'Coder',
  icon: '',
  description: 'Builtin default organization.',
  created_at: time(world.organization.createdAt),
  updated_at: time(world.organization.createdAt),
  is_default: true,
  default_org_member_roles: ['organization-workspace-access'],
});

const workerId = 'c1feeb74-f479-4ba5-b07a-8de0c7ab0ce3';
const optional = (key: string, at: number | null) => (at === null ? {} : { [key]: time(at) });

function jobBody(
  world: World,
  job: {
    readonly jobId: string;
    readonly createdAt: number;
    readonly ends: JobEnd;
    readonly fileId: string;
    readonly initiatorId: string;
    readonly type: string;
    readonly input: Readonly<Record<string, string>>;
  },
  phase: Phase,
  fresh: boolean,
) {
  const waiting = phase.job === 'pending' && !fresh;
  const ended = phase.completedAt !== null;
  const canceledAt = phase.job === 'canceled' || phase.job === 'canceling' || (ended && job.ends.wasCanceled === true);
  return {
    id: job.jobId,
    created_at: time(job.createdAt),
    ...optional('started_at', phase.startedAt),
    ...optional('completed_at', phase.completedAt),
    ...(canceledAt ? { canceled_at: time(phase.completedAt ?? world.now()) } : {}),
    ...(ended && job.ends.error ? { error: job.ends.error } : {}),
    ...(ended && job.ends.errorCode ? { error_code: job.ends.errorCode } : {}),
    status: phase.job,
    ...(phase.startedAt === null ? {} : { worker_id: workerId }),
    file_id: job.fileId,
    tags: { owner: '', scope: 'organization' },
    queue_position: waiting ? 1 : 0,
    queue_size: waiting ? 1 : 0,
    organization_id: world.organization.id,
    initiator_id: job.initiatorId,
    input: job.input,
    type: job.type,
    metadata: {
      template_version_name: '',
      template_id: noId,
      template_name: '',
      template_display_name: '',
      template_icon: '',
    },
    logs_overflowed: false,
  };
}

const provisioners = (world: World) => ({ count: 1, available: 1, most_recently_seen: time(world.now()) });
const noProvisioners = { count: 0, available: 0, most_recently_seen: null };

/** `fresh` is the answer to the request that made it. */
export function versionBody(world: World, version: SimulatedVersion, fresh = false) {
  const phase = phaseOf(version, world.now());
  const job = {
    ...version,
    initiatorId: version.creatorId,
    type: 'template_version_import',
    input: { template_version_id: version.id },
  };
  return {
    id: version.id,
    template_id: version.templateId ?? noId,
    organization_id: world.organization.id,
    created_at: time(version.createdAt),
    updated_at: time(phase.completedAt ?? version.createdAt),
    name: version.name,
    message: version.message,
    job: jobBody(world, job, phase, fresh),
    readme: phase.completedAt === null ? '' : version.readme,
    created_by: { id: version.creatorId, username: world.users.get(version.creatorId)?.username ?? '' },
    archived: false,
    ...(phase.job === 'pending' ? { matched_provisioners: provisioners(world) } : {}),
    has_external_agent: false,
  };
}

const noTimes = { P50: null, P95: null };

export function templateBody(world: World, template: SimulatedTemplate) {
  return {
    id: template.id,
    created_at: time(template.createdAt),
    updated_at: time(world.now()),
    organization_id: world.organization.id,
    organization_name: world.organization.name,
    organization_display_name: 'Coder',
    organization_icon: '',
    name: template.name,
    display_name: template.displayName,
    provisioner: 'terraform',
    active_version_id: template.activeVersionId,
    active_user_count: 0,
    build_time_stats: { delete: noTimes, start: noTimes, stop: noTimes },
    description: template.description,
    deprecated: false,
    deprecation_message: '',
    deleted: false,
    icon: template.icon,
    default_ttl_ms: 0,
    activity_bump_ms: 3_600_000,
    time_til_autostop_notify_ms: 0,
    autostop_requirement: { days_of_week: [], weeks: 1 },
    autostart_requirement: {
      days_of_week: ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'],
    },
    created_by_id: template.creatorId,
    created_by_name: world.users.get(template.creatorId)?.username ?? '',
    allow_user_autostart: true,
    allow_user_autostop: true,
    allow_user_cancel_workspace_jobs: template.allowUserCancel,
    failure_ttl_ms: 0,
    time_til_dormant_ms: 0,
    time_til_dormant_autodelete_ms: 0,
    require_active_version: false,
    max_port_share_level: 'public',
    cors_behavior: 'simple',
    use_classic_parameter_flow: false,
    disable_module_cache: false,
  };
}

export function workspaceBody(world: World, workspace: SimulatedWorkspace) {
  const template = world.templates.get(workspace.templateId);
  const build = latestBuild(world, workspace);
  const agent = build.agent && phaseOf(build, world.now()).agent;
  const connecting = build.agent !== null && agent?.status === 'connecting';
  return {
    id: workspace.id,
    created_at: time(workspace.createdAt),
    updated_at: time(workspace.createdAt),
    owner_id: workspace.ownerId,
    owner_name: world.users.get(workspace.ownerId)?.username ?? '',
    owner_avatar_url: '',
    organization_id: world.organization.id,
    organization_name: world.organization.name,
    template_id: workspace.templateId,
    template_name: template?.name ?? '',
    template_display_name: template?.displayName ?? '',
    template_icon: template?.icon ?? '',
    template_allow_user_cancel_workspace_jobs: template?.allowUserCancel ?? false,
    template_active_version_id: template?.activeVersionId ?? noId,
    template_require_active_version: false,
    template_use_classic_parameter_flow: false,
    latest_build: buildBody(world, workspace, build),
    latest_app_status: null,
    outdated: template !== undefined && build.versionId !== template.activeVersionId,
    name: workspace.name,
    ...(workspace.ttlMs === null ? {} : { ttl_ms: workspace.ttlMs }),
    last_used_at: time(workspace.createdAt),
    deleting_at: null,
    dormant_at: null,
    health: connecting ? { healthy: false, failing_agents: [build.agent.id] } : { healthy: true, failing_agents: [] },
    automatic_updates: 'never',
    allow_renames: false,
    favorite: false,
    next_start_at: null,
    is_prebuild: false,
    task_id: null,
    ...(workspace.shared.size > 0 ? { shared_with: sharedWith(workspace) } : {}),
  };
}

const sharedWith = (workspace: SimulatedWorkspace) =>
  [...workspace.shared].map(([id, role]) => ({ id, actor_type: 'user', name: '', roles: [role] }));

export function buildBody(world: World, workspace: SimulatedWorkspace, build: SimulatedBuild, fresh = false) {
  const phase = fresh
    ? ({ job: 'pending', startedAt: null, completedAt: null, agent: null } as const)
    : phaseOf(build, world.now());
  const version = world.versions.get(build.versionId);
  const job = {
    ...build,
    fileId: version?.fileId ?? noId,
    type: 'workspace_build',
    input: { workspace_build_id: build.id },
  };
  const running = build.transition === 'start' && phase.job === 'succeeded';
  const deadline =
    running && workspace.ttlMs !== null && phase.completedAt !== null
      ? time(phase.completedAt + workspace.ttlMs)
      : null;
  return {
    id: build.id,
    created_at: time(build.createdAt),
    updated_at: time(phase.completedAt ?? build.createdAt),
    workspace_id: workspace.id,
    workspace_name: workspace.name,
    workspace_owner_id: workspace.ownerId,
    workspace_owner_name: world.users.get(workspace.ownerId)?.username ?? '',
    template_version_id: build.versionId,
    template_version_name: fresh ? '' : (version?.name ?? ''),
    build_number: build.number,
    transition: build.transition,
    initiator_id: build.initiatorId,
    initiator_name: world.users.get(build.initiatorId)?.username ?? '',
    job: jobBody(world, job, phase, fresh),
    reason: build.reason,
    resources: phase.job === 'succeeded' && build.transition !== 'delete' ? resourceBodies(build, phase) : [],
    deadline,
    max_deadline: null,
    status: statusWord(build.transition, phase.job),
    daily_cost: 0,
    matched_provisioners: phase.job === 'pending' ? provisioners(world) : noProvisioners,
    template_version_preset_id: null,
    ...(phase.job === 'succeeded' ? { has_ai_task: false, has_external_agent: false } : {}),
  };
}

function resourceBodies(build: SimulatedBuild, phase: Phase) {
  const common = {
    created_at: time(phase.completedAt ?? build.createdAt),
    job_id: build.jobId,
    workspace_transition: build.transition,
    hide: false,
    icon: '',
    daily_cost: 0,
  };
  const volume = { ...common, id: build.jobId, type: 'docker_volume', name: 'workspace' };
  if (build.agent === null) return [volume];
  const worker = { ...common, id: build.agent.resourceId, type: 'docker_container', name: 'worker' };
  return [{ ...worker, agents: [agentBody(build, build.agent, phase)] }, volume];
}

function agentBody(build: SimulatedBuild, agent: NonNullable<SimulatedBuild['agent']>, phase: Phase) {
  const state = phase.agent;
  const connected = state?.status === 'connected';
  const ready = state?.lifecycle === 'ready';
  const createdAt = phase.completedAt ?? build.createdAt;
  return {
    id: agent.id,
    parent_id: null,
    created_at: time(createdAt),
    updated_at: time(state?.connectedAt ?? createdAt),
    ...optional('first_connected_at', state?.connectedAt ?? null),
    ...optional('last_connected_at', state?.connectedAt ?? null),
    ...(ready ? { ...optional('started_at', state.connectedAt), ...optional('ready_at', state.readyAt) } : {}),
    status: state?.status ?? 'connecting',
    lifecycle_state: state?.lifecycle ?? 'created',
    name: 'main',
    resource_id: agent.resourceId,
    architecture: 'amd64',
    environment_variables: {},
    operating_system: 'linux',
    logs_length: ready ? 22 : 0,
    logs_overflowed: false,
    version: connected ? 'v0.0.0-devel' : '',
    api_version: connected ? '2.10' : '',
    apps: [appBody(agent.id, ready)],
    ...(ready ? { latency: { 'Coder Embedded Relay': { preferred: true, latency_ms: 0.3 } } } : {}),
    connection_timeout_seconds: 120,
    troubleshooting_url: 'https://coder.com/docs/admin/templates/troubleshooting',
    subsystems: [],
    health: connected ? { healthy: true } : { healthy: false, reason: 'agent has not yet connected' },
    display_apps: ['web_terminal'],
    log_sources: [],
    scripts: [],
    startup_script_behavior: 'non-blocking',
  };
}

/** The app of our own template; its id follows from the agent's, so that it is stable within a build. */
function appBody(agentId: string, ready: boolean) {
  return {
    id: agentId.replace(/^.{8}/, '0a0b0c0d'),
    url: 'http://127.0.0.1:4096',
    external: false,
    slug: 'opencode',
    display_name: 'OpenCode',
    icon: '/icon/code.svg',
    subdomain: false,
    sharing_level: 'owner',
    healthcheck: { url: 'http://127.0.0.1:4096/global/health', interval: 5, threshold: 6 },
    health: ready ? 'healthy' : 'initializing',
    hidden: false,
    open_in: 'slim-window',
    statuses: [],
  };
}
