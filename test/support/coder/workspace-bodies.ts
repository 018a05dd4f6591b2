import { noId, time } from './answers.ts';
import { jobBody, noProvisioners, optional, provisioners } from './job-body.ts';
import { phaseOf, statusWord, type Phase } from './timeline.ts';
import { latestBuild, type SimulatedBuild, type SimulatedWorkspace, type World } from './world.ts';

export function workspaceBody(world: World, workspace: SimulatedWorkspace) {
  const template = world.templates.get(workspace.templateId);
  const build = latestBuild(world, workspace);
  const agent = build.agent && phaseOf(build, world.now()).agent;
  const unhealthy = build.agent !== null && (build.agentLostAt !== null || agent?.status === 'connecting');
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
    last_used_at: time(workspace.lastUsedAt ?? workspace.createdAt),
    deleting_at: null,
    dormant_at: null,
    health: unhealthy ? { healthy: false, failing_agents: [build.agent.id] } : { healthy: true, failing_agents: [] },
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
  const lost = build.agentLostAt !== null;
  const createdAt = phase.completedAt ?? build.createdAt;
  return {
    id: agent.id,
    parent_id: null,
    created_at: time(createdAt),
    updated_at: time(state?.connectedAt ?? createdAt),
    ...optional('first_connected_at', state?.connectedAt ?? null),
    ...optional('last_connected_at', state?.connectedAt ?? null),
    ...(ready ? { ...optional('started_at', state.connectedAt), ...optional('ready_at', state.readyAt) } : {}),
    ...optional('disconnected_at', build.agentLostAt),
    status: lost ? 'disconnected' : (state?.status ?? 'connecting'),
    lifecycle_state: lost ? 'off' : (state?.lifecycle ?? 'created'),
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
    ...(ready && !lost ? { latency: { 'Coder Embedded Relay': { preferred: true, latency_ms: 0.3 } } } : {}),
    connection_timeout_seconds: 120,
    troubleshooting_url: 'https://coder.com/docs/admin/templates/troubleshooting',
    subsystems: [],
    health: agentHealth(connected, lost),
    display_apps: ['web_terminal'],
    log_sources: [],
    scripts: [],
    startup_script_behavior: 'non-blocking',
  };
}

function agentHealth(connected: boolean, lost: boolean) {
  if (lost) return { healthy: false, reason: 'agent is not running' };
  return connected ? { healthy: true } : { healthy: false, reason: 'agent has not yet connected' };
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
