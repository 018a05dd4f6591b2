import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import type { TemplateSecrets } from './template-secrets.ts';

/** Coder's rule for template names. Source: coder/coder codersdk/name.go */
const templateName = z
  .string()
  .max(32)
  .regex(/^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/, 'must be 1 to 32 letters, digits and single hyphens');

const body = z.strictObject({
  /** Needed only by members of several organizations. */
  organization_id: z.uuid().optional(),
  template_version_id: z.uuid().nullish(),
});

/** `POST /api/v2/agents/templates/{name}/secrets`: mints the next secret of a template and shows it once. */
export function templateSecretRoutes(options: {
  readonly database: Database;
  readonly secrets: TemplateSecrets;
  readonly audit: Pick<AuditLog, 'append'>;
  /** Whether the caller may update templates of this organization: Coder's word. */
  readonly mayAdministerTemplates: (request: Request, response: Response, organizationId: string) => Promise<boolean>;
}): Route[] {
  const { database, secrets, audit, mayAdministerTemplates } = options;

  const mint = async (request: Request, response: Response): Promise<void> => {
    const name = parse(z.object({ name: templateName }), { name: pathParameter(request, 'name') }, 'The path').name;
    const input = parse(body, request.body ?? {}, 'The body');
    const caller = response.locals['actor'] as Actor;
    const actor = `user:${caller.id}`;
    const organizationId = chooseOrganization(caller, input.organization_id);

    if (!(await mayAdministerTemplates(request, response, organizationId))) {
      await database.transaction((tx) =>
        audit.append(tx, {
          actor,
          action: 'template_secret.minted',
          target: { type: 'template', id: name },
          outcome: 'denied',
          organizationId,
          requestId: requestId(response),
        }),
      );
      throw mayNotAdminister(name);
    }

    const { kid, secret } = await database.transaction((tx) =>
      secrets.mintTemplateSecret(tx, {
        organizationId,
        templateName: name,
        templateVersionId: input.template_version_id ?? null,
        actor,
        requestId: requestId(response),
      }),
    );
    response.setHeader('Cache-Control', 'no-store');
    response.status(201).json({ secret, kid });
  };

  return [
    {
      method: 'post',
      path: '/api/v2/agents/templates/:name/secrets',
      guard: 'user',
      summary: 'Mints the next registration secret of a template. It is shown once.',
      handler: mint,
    },
  ];
}

function chooseOrganization(caller: Actor, asked: string | undefined): string {
  const chosen = asked ?? (caller.organizationIds.length === 1 ? caller.organizationIds[0] : undefined);
  if (chosen === undefined)
    throw new ServiceError(
      'invalid',
      'organization_missing',
      `You belong to ${caller.organizationIds.length} organizations, so the template's is not known. Send organization_id.`,
    );
  return chosen;
}

const mayNotAdminister = (name: string): ServiceError =>
  new ServiceError(
    'forbidden',
    'template_update_forbidden',
    `You may not update template ${name} in this organization, so you cannot have its secret. Ask a template admin.`,
  );
