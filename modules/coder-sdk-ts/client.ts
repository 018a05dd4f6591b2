import createFetchClient from 'openapi-fetch';
import type { components, paths } from './generated/types.ts';
import { callCoder, type Fetch, type TransportOptions } from './transport.ts';

type Schemas = components['schemas'];
export type BuildInfo = Schemas['BuildInfo'];
export type User = Schemas['User'];
export type Organization = Schemas['Organization'];
export type Workspace = Schemas['Workspace'];
export type WorkspaceBuild = Schemas['WorkspaceBuild'];
export type WorkspaceAgent = Schemas['WorkspaceAgent'];
export type Template = Schemas['Template'];
export type TemplateVersion = Schemas['TemplateVersion'];
export type NamedValue = Schemas['NamedValue'];
export type JobLog = Schemas['JobLog'];
export type Preset = Schemas['Preset'];
export type Form = Schemas['Form'];
export type TemplateVersionVariable = Schemas['TemplateVersionVariable'];
export type CreateWorkspace = Schemas['CreateWorkspaceRequest'];
export type CreateBuild = Schemas['CreateBuildRequest'];
export type CreateTemplate = Schemas['CreateTemplateRequest'];
export type CreateTemplateVersion = Schemas['CreateTemplateVersionRequest'];
export type CreateToken = Schemas['CreateTokenRequest'];
export type UpdateTemplate = Schemas['UpdateTemplateRequest'];
export type AuthChecks = Schemas['AuthCheckRequest']['checks'];

/** A workspace as Coder tells it, with its status word (`running`, `stopped`, …) on top. */
export type ListedWorkspace = Workspace & { readonly status: string };

export interface ClientOptions extends Omit<TransportOptions, 'timeoutMs'> {
  /** A user's token. Travels as the header `Coder-Session-Token`, never as a cookie. */
  readonly token?: string;
  /** @default 30000. Coder answers in milliseconds; half a minute leaves room for a loaded database. */
  readonly timeoutMs?: number;
}

export type CoderClient = ReturnType<typeof createClient>;

const pageSize = 100;

/**
 * A typed client of a Coder deployment; every method is one request and answers what Coder answered.
 *
 * Errors  `CoderError` for everything: a refusal, no answer, or an answer that does not fit our description.
 * Safety  no cookies, no redirects, no retries; the caller decides about those.
 */
export function createClient(options: ClientOptions) {
  const url = options.url.replace(/\/+$/, '');
  const transport: TransportOptions = { ...options, url, timeoutMs: options.timeoutMs ?? 30_000 };
  const http = createFetchClient<paths>({
    baseUrl: url,
    redirect: 'manual',
    credentials: 'omit',
    headers: { Accept: 'application/json', ...(options.token ? { 'Coder-Session-Token': options.token } : {}) },
  });

  function send<Data>(
    method: string,
    route: keyof paths,
    path: Readonly<Record<string, string>>,
    perform: (fetch: Fetch) => Promise<{ readonly data?: Data }>,
  ): Promise<Data> {
    return callCoder(transport, { method, route, pathParameters: path }, perform);
  }

  function listPage(query: { readonly q: string | undefined; readonly limit: number; readonly offset: number }) {
    const { q, ...page } = query;
    const params = { query: { ...(q === undefined ? {} : { q }), ...page } };
    return send('GET', '/api/v2/workspaces', {}, (fetch) => http.GET('/api/v2/workspaces', { fetch, params }));
  }

  return {
    /** Version of the server; needs no token. */
    buildInfo: () => send('GET', '/api/v2/buildinfo', {}, (fetch) => http.GET('/api/v2/buildinfo', { fetch })),

    /** Whose token this is. `not_found` means that the token lacks `user:read`. */
    me: () => send('GET', '/api/v2/users/me', {}, (fetch) => http.GET('/api/v2/users/me', { fetch })),

    /** By name or id; `not_found` for one the caller may not see. */
    getUser(user: string) {
      const route = '/api/v2/users/{user}';
      const path = { user };
      return send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path } }));
    },

    organizations: async () =>
      (await send('GET', '/api/v2/users/me/organizations', {}, (fetch) =>
        http.GET('/api/v2/users/me/organizations', { fetch }),
      )) ?? [],

    /** All workspaces that match `q` (such as `owner:me status:running`), page after page. */
    async listWorkspaces(q?: string): Promise<readonly ListedWorkspace[]> {
      const found: Workspace[] = [];
      for (;;) {
        const page = await listPage({ q, limit: pageSize, offset: found.length });
        const workspaces = page.workspaces ?? [];
        found.push(...workspaces);
        if (workspaces.length < pageSize || found.length >= page.count) break;
      }
      return found.map((workspace) => ({ ...workspace, status: workspace.latest_build.status }));
    },

    getWorkspace(workspace: string, query: { readonly include_deleted?: boolean } = {}) {
      const route = '/api/v2/workspaces/{workspace}';
      const path = { workspace };
      return send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path, query } }));
    },

    /** By owner (name, id or `me`) and name. */
    getWorkspaceByName(user: string, workspace: string) {
      const route = '/api/v2/users/{user}/workspace/{workspace}';
      const path = { user, workspace };
      return send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path } }));
    },

    /** A new workspace of `user` (name, id or `me`), whose first build starts at once. */
    createWorkspace(user: string, body: CreateWorkspace) {
      const route = '/api/v2/users/{user}/workspaces';
      const path = { user };
      return send('POST', route, path, (fetch) => http.POST(route, { fetch, params: { path }, body }));
    },

    /** Starts, stops or deletes. Never send `start` to a running workspace: its containers are replaced. */
    createBuild(workspace: string, body: CreateBuild) {
      const route = '/api/v2/workspaces/{workspace}/builds';
      const path = { workspace };
      return send('POST', route, path, (fetch) => http.POST(route, { fetch, params: { path }, body }));
    },

    getBuild(workspacebuild: string) {
      const route = '/api/v2/workspacebuilds/{workspacebuild}';
      const path = { workspacebuild };
      return send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path } }));
    },

    /** What the owner chose for a build. */
    async getBuildParameters(workspacebuild: string): Promise<readonly NamedValue[]> {
      const route = '/api/v2/workspacebuilds/{workspacebuild}/parameters';
      const path = { workspacebuild };
      return (await send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path } }))) ?? [];
    },

    /** What this token may do, scopes applied; at most ten checks may carry a `resource_id`. */
    authCheck: (checks: AuthChecks) =>
      send('POST', '/api/v2/authcheck', {}, (fetch) => http.POST('/api/v2/authcheck', { fetch, body: { checks } })),

    /** Uploads an archive and answers its file id. The same bytes again give the same id. */
    async uploadFile(
      archive: Uint8Array<ArrayBuffer>,
      type: 'application/x-tar' | 'application/zip' = 'application/x-tar',
    ) {
      const answer = await send('POST', '/api/v2/files', {}, (fetch) =>
        http.POST('/api/v2/files', {
          fetch,
          headers: { 'Content-Type': type },
          // The description calls the raw body a string, as OpenAPI does; what is sent are the bytes.
          body: archive as unknown as string,
          bodySerializer: (body) => body,
        }),
      );
      return answer.hash;
    },

    /** The bytes of an archive, as tar; only who uploaded it and template admins may read them. */
    async downloadFile(file: string): Promise<Uint8Array> {
      const route = '/api/v2/files/{file}';
      const path = { file };
      const bytes = await send('GET', route, path, (fetch) =>
        http.GET(route, { fetch, params: { path }, parseAs: 'arrayBuffer' }),
      );
      return new Uint8Array(bytes);
    },

    createTemplateVersion(organization: string, body: CreateTemplateVersion) {
      const route = '/api/v2/organizations/{organization}/templateversions';
      const path = { organization };
      return send('POST', route, path, (fetch) => http.POST(route, { fetch, params: { path }, body }));
    },

    getTemplateVersion(templateversion: string) {
      const route = '/api/v2/templateversions/{templateversion}';
      const path = { templateversion };
      return send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path } }));
    },

    /** What the admin set for a version; sensitive values come redacted. */
    async templateVersionVariables(templateversion: string): Promise<readonly TemplateVersionVariable[]> {
      const route = '/api/v2/templateversions/{templateversion}/variables';
      const path = { templateversion };
      return (await send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path } }))) ?? [];
    },

    /** What its import said, after the line with the id `after`. */
    async templateVersionLogs(templateversion: string, after?: number): Promise<readonly JobLog[]> {
      const route = '/api/v2/templateversions/{templateversion}/logs';
      const path = { templateversion };
      const query = after === undefined ? {} : { after };
      return (await send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path, query } }))) ?? [];
    },

    async templateVersionPresets(templateversion: string): Promise<readonly Preset[]> {
      const route = '/api/v2/templateversions/{templateversion}/presets';
      const path = { templateversion };
      return (await send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path } }))) ?? [];
    },

    /** The parameter form as `owner` (an id) would see it with these inputs, and what is wrong with it. */
    evaluateForm(templateversion: string, owner: string, inputs: Readonly<Record<string, string>>) {
      const route = '/api/v2/templateversions/{templateversion}/dynamic-parameters/evaluate';
      const path = { templateversion };
      const body = { id: 0, inputs, owner_id: owner };
      return send('POST', route, path, (fetch) => http.POST(route, { fetch, params: { path }, body }));
    },

    /** Every template the caller may read, in any organization. */
    listTemplates: async (): Promise<readonly Template[]> =>
      (await send('GET', '/api/v2/templates', {}, (fetch) => http.GET('/api/v2/templates', { fetch }))) ?? [],

    createTemplate(organization: string, body: CreateTemplate) {
      const route = '/api/v2/organizations/{organization}/templates';
      const path = { organization };
      return send('POST', route, path, (fetch) => http.POST(route, { fetch, params: { path }, body }));
    },

    getTemplateByName(organization: string, template: string) {
      const route = '/api/v2/organizations/{organization}/templates/{template}';
      const path = { organization, template };
      return send('GET', route, path, (fetch) => http.GET(route, { fetch, params: { path } }));
    },

    updateTemplate(template: string, body: UpdateTemplate) {
      const route = '/api/v2/templates/{template}';
      const path = { template };
      return send('PATCH', route, path, (fetch) => http.PATCH(route, { fetch, params: { path }, body }));
    },

    activateTemplateVersion(template: string, version: string) {
      const route = '/api/v2/templates/{template}/versions';
      const path = { template };
      return send('PATCH', route, path, (fetch) =>
        http.PATCH(route, { fetch, params: { path }, body: { id: version } }),
      );
    },

    /** A new token; `user` is `me` except for a site owner. Answers the token itself, once. */
    async createToken(user: string, body: CreateToken) {
      const route = '/api/v2/users/{user}/keys/tokens';
      const path = { user };
      return (await send('POST', route, path, (fetch) => http.POST(route, { fetch, params: { path }, body }))).key;
    },
  };
}
