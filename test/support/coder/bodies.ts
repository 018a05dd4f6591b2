import { noId, time } from './answers.ts';
import { jobBody, provisioners } from './job-body.ts';
import { phaseOf } from './timeline.ts';
import type { SimulatedTemplate, SimulatedUser, SimulatedVersion, World } from './world.ts';

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
