import { z } from 'zod';
import { auditOutcomes } from './audit-event.ts';

/** An audit event as its reader sees it. */
export const auditAnswer = z
  .strictObject({
    id: z.uuid(),
    at: z.iso.datetime(),
    actor: z.string().meta({ description: '`user:<uuid>`, `service` or `bridge:<workspace id>`.' }),
    action: z.string(),
    target: z.strictObject({ type: z.string(), id: z.string() }),
    outcome: z.enum(auditOutcomes),
    organization_id: z.string().nullable(),
    workspace_id: z.string().nullable(),
    request_id: z.string().nullable(),
    data: z.record(z.string(), z.unknown()).nullable(),
    position: z.number().int().nullable().meta({ description: 'Place in the chain; null until it is linked.' }),
  })
  .meta({ id: 'AuditEvent' });
