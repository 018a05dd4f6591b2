import { CoderError, createClient, type AuthChecks, type CoderClient, type User } from 'coder-sdk-ts';
import { fail } from '../coder-failure.ts';
import { CommandFailure } from '../command-failure.ts';
import { chooseOrganization } from '../template-context.ts';

/** A Coder that was asked and may be used. */
export interface JoinedCoder {
  readonly url: string;
  readonly version: string;
  readonly client: CoderClient;
  readonly token: string;
  readonly user: User;
  readonly organization: { readonly id: string; readonly name: string };
}

/** The first that the templates work with; templates/docker/README.md says the same. */
const oldestVersion = [2, 24] as const;

/**
 * Asks Coder for its version, whose token this is, and whether that person may publish templates and have workspaces.
 *
 * Errors  `CommandFailure` 2, each with the command that mends it; the token is in none.
 */
export async function checkCoder(parts: {
  readonly client: CoderClient;
  readonly url: string;
  readonly token: string;
  readonly organization: string | undefined;
}): Promise<JoinedCoder> {
  const { client, url, token } = parts;
  const { version } = await client.buildInfo().catch(fail);
  const [, major, minor] = (/^v?(\d+)\.(\d+)\./.exec(version) ?? []).map(Number);
  // A build from source calls itself v0.0.0-devel.
  const isOld = major !== undefined && minor !== undefined && major > 0 && isOlder([major, minor], oldestVersion);
  if (isOld)
    throw new CommandFailure(
      2,
      `${url} is Coder ${version}, and the templates need ${oldestVersion.join('.')} or newer. Upgrade Coder first.`,
    );
  const user = await client.me().catch((error: unknown) => {
    throw explainToken(error, url);
  });
  const organization = await chooseOrganization(client, parts.organization);
  await checkRights(client, user, organization);
  return { url, version, client, token, user, organization };
}

const isOlder = ([major, minor]: readonly [number, number], [oldMajor, oldMinor]: readonly [number, number]): boolean =>
  major < oldMajor || (major === oldMajor && minor < oldMinor);

const howToMint = (url: string): string =>
  `\`coder login ${url}\`, then \`coder tokens create --name outrigger\`, and give what it prints as CODER_SESSION_TOKEN`;

/** A missing scope is 404 here and a bad token 401: recorded of Coder 2.36.0. */
function explainToken(error: unknown, url: string): unknown {
  if (!(error instanceof CoderError)) return error;
  if (error.kind === 'unauthenticated')
    return new CommandFailure(
      2,
      `Coder does not accept this token: it is wrong or has ended. Make one: ${howToMint(url)}.`,
    );
  if (error.kind === 'not_found')
    return new CommandFailure(
      2,
      `This token may not even read whose it is: it was made with scopes. Make one without: ${howToMint(url)}.`,
    );
  return error;
}

async function checkRights(client: CoderClient, user: User, { id, name }: JoinedCoder['organization']): Promise<void> {
  const object = { resource_type: 'template', organization_id: id };
  const own = { resource_type: 'workspace', owner_id: 'me', organization_id: id };
  const checks: AuthChecks = {
    create: { object, action: 'create' },
    update: { object, action: 'update' },
    workspace: { object: own, action: 'create' },
  };
  const may = await client.authCheck(checks).catch(fail);
  if (may['create'] !== true || may['update'] !== true)
    throw new CommandFailure(
      2,
      `${user.username} may not publish templates in organization ${name} with this token.\n${grant(user, name, 'organization-template-admin')}`,
    );
  if (may['workspace'] !== true)
    throw new CommandFailure(
      2,
      `${user.username} may not have workspaces in organization ${name} with this token.\nAn owner of Coder looks with \`coder organizations members list -O ${name}\`; the role organization-workspace-creation-ban forbids it.`,
    );
}

/** Coder's command replaces the roles that somebody has. */
const grant = ({ username }: Pick<User, 'username'>, organization: string, role: string): string =>
  `An owner of Coder allows it: \`coder organizations members edit-roles ${username} ${role} -O ${organization}\`\n` +
  `(the command takes away what it does not name, so name also the roles that \`coder organizations members list -O ${organization}\` shows).\n` +
  'Where the role is there already, the token was made with scopes: make one without them.';

/**
 * Whether a token fits a service: it must read everybody's workspaces; to start them it needs more.
 *
 * Errors  `CommandFailure` 2 where it may not read.
 */
export async function checkServiceToken(
  coder: Pick<JoinedCoder, 'url' | 'organization'>,
  token: string,
): Promise<{ readonly username: string; readonly advice: string | null }> {
  const client = createClient({ url: coder.url, token });
  const user = await client.me().catch(fail);
  const { id, name } = coder.organization;
  const object = { resource_type: 'workspace', organization_id: id };
  const may = await client
    .authCheck({ read: { object, action: 'read' }, start: { object, action: 'start' } })
    .catch(fail);
  if (may['read'] !== true)
    throw new CommandFailure(
      2,
      `The service's own token (OUTRIGGER_CODER_TOKEN, of ${user.username}) may not read the workspaces of organization ${name}, so it could not tell which workspace registers.\n${grant(user, name, 'organization-template-admin')}`,
    );
  const advice =
    may['start'] === true
      ? null
      : `The service may read workspaces and not start those of others. To let it: \`coder organizations members edit-roles ${user.username} organization-admin -O ${name}\` (name also the roles there are).`;
  return { username: user.username, advice };
}
