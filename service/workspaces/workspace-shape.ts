import { z } from 'zod';

const status = z.enum(['STOPPED', 'STARTING', 'RUNNING', 'STOPPING', 'ERROR']);
const phase = z.enum(['Pending', 'Starting', 'Recreating', 'Ready', 'Failed', 'Disabled']);

/** Where the IDE of a workspace stands, in the literal keys that clients know. */
export const ideStatus = z
  .strictObject({ ideURL: z.string().optional(), idePhase: phase, ideMessage: z.string().nullable() })
  .meta({ id: 'IdeStatus' });

/** The reply to a change of it. */
export const ideReply = z.strictObject({ ideURL: z.string().optional(), phase }).meta({ id: 'IdeReply' });

/** A workspace with its bridge and its IDE. */
export const workspaceAnswer = z
  .strictObject({
    id: z.uuid(),
    name: z.string(),
    owner_id: z.string(),
    owner_name: z.string(),
    organization_id: z.string(),
    organization_name: z.string(),
    template_name: z.string(),
    status,
    build_status: z.string(),
    bridge: z
      .strictObject({ connected: z.boolean(), harness_version: z.string(), last_seen_at: z.iso.datetime() })
      .nullable(),
    ideEnabled: z.boolean(),
    ideURL: z.string().optional(),
    idePhase: phase,
    ideMessage: z.string().nullable(),
  })
  .meta({ id: 'Workspace' });

/** A workspace in the literal keys of `/api/workspaces`. */
export const compatibleWorkspace = z
  .strictObject({
    id: z.uuid(),
    name: z.string(),
    description: z.null(),
    containerId: z.null(),
    status,
    build_status: z.string(),
    githubRepo: z.string().nullable(),
    githubBranch: z.string().nullable(),
    nixConfig: z.string().nullable(),
    template: z.string(),
    userId: z.string(),
    lastAccessedAt: z.string().nullable(),
  })
  .meta({ id: 'CompatibleWorkspace' });
