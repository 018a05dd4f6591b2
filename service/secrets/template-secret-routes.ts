import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import type { AuditEntry } from '../audit/audit-event.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Database } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { actorOf, chooseOrganization } from './organization-admin.ts';
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

const secretPath = z.object({ name: templateName, kid: z.string().regex(/^[0-9a-f]{12}$/, 'must be 12 hex digits') });

const attachBody = z.strictObject({ template_version_id: z.uuid() });

/**
 * The secrets of a template, for its admins.
 *
 * `POST …/templates/{name}/secrets`        mints the next one and shows it once
 * `PUT …/templates/{name}/secrets/{kid}`    says which version it was pushed with
 * `DELETE …/templates/{name}/secrets/{kid}` retires it: no workspace registers with it any more
 */
export function templateSecretRoutes(options: {
  readonly database: Database;
  readonly secrets: TemplateSecrets;
  readonly audit: Pick<AuditLog, 'append'>;
  /** Whether the caller may update templates of this organization: Coder's word. */
  readonly mayAdministerTemplates: (request: Request, response: Response, organizationId: string) => Promise<boolean>;
}): Route[] {
  const { database, secrets, audit, mayAdministerTemplates } = options;

  /** Returns for a template admin of the organization; audits and refuses anybody else. */
  const admit = async (
    request: Request,
    response: Response,
    name: string,
    what: Pick<AuditEntry, 'action' | 'target'> & { readonly organizationId: string },
  ): Promise<void> => {
    if (await mayAdministerTemplates(request, response, what.organizationId)) return;
    const refusal = { ...what, actor: actorOf(response), outcome: 'denied' as const, requestId: requestId(response) };
    await database.transaction((tx) => audit.append(tx, refusal));
    throw mayNotAdminister(name);
  };

  /** The kid of a path, once it is known to be of that template and the caller its admin. */
  const admitToKid = async (request: Request, response: Response, action: string): Promise<string> => {
    const asked = { name: pathParameter(request, 'name'), kid: pathParameter(request, 'kid') };
    const { name, kid } = parse(secretPath, asked, 'The path');
    const found = await secrets.find(kid);
    if (found?.templateName !== name) throw notFound(`Template secret ${kid} of template ${name}`);
    const { organizationId } = found;
    await admit(request, response, name, { action, target: { type: 'template_secret', id: kid }, organizationId });
    return kid;
  };

  const attach = async (request: Request, response: Response): Promise<void> => {
    const input = parse(attachBody, request.body ?? {}, 'The body');
    const kid = await admitToKid(request, response, 'template_secret.attached');
    const versionId = input.template_version_id;
    await database.transaction((tx) =>
      secrets.attachVersion(tx, kid, versionId, actorOf(response), requestId(response)),
    );
    response.json({ kid, template_version_id: versionId });
  };

  const retire = async (request: Request, response: Response): Promise<void> => {
    const kid = await admitToKid(request, response, 'template_secret.retired');
    await database.transaction((tx) => secrets.retire(tx, kid, actorOf(response), requestId(response)));
    response.status(204).end();
  };

  const mint = async (request: Request, response: Response): Promise<void> => {
    const name = parse(z.object({ name: templateName }), { name: pathParameter(request, 'name') }, 'The path').name;
    const input = parse(body, request.body ?? {}, 'The body');
    const caller = response.locals['actor'] as Actor;
    const actor = actorOf(response);
    const organizationId = chooseOrganization(caller, input.organization_id);

    const what = { action: 'template_secret.minted', target: { type: 'template', id: name }, organizationId };
    await admit(request, response, name, what);

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
      shape: { body, answers: { 201: z.strictObject({ secret: z.string(), kid: z.string() }) } },
      handler: mint,
    },
    {
      method: 'put',
      path: '/api/v2/agents/templates/:name/secrets/:kid',
      guard: 'user',
      summary: 'Says which version of the template a registration secret was pushed with.',
      shape: { body: attachBody, answers: { 200: z.strictObject({ kid: z.string(), template_version_id: z.uuid() }) } },
      handler: attach,
    },
    {
      method: 'delete',
      path: '/api/v2/agents/templates/:name/secrets/:kid',
      guard: 'user',
      summary: 'Retires a registration secret: workspaces of its version can no longer register.',
      shape: { answers: { 204: null } },
      handler: retire,
    },
  ];
}

const mayNotAdminister = (name: string): ServiceError =>
  new ServiceError(
    'forbidden',
    'template_update_forbidden',
    `You may not update template ${name} in this organization, so you cannot have its secret. Ask a template admin.`,
  );
