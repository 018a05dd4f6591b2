import { createClient } from 'coder-sdk-ts';

export async function printWorkspaces(url: string, token: string): Promise<string[]> {
  const client = createClient({ url, token, timeoutMs: 30_000 });
  const workspaces = await client.listWorkspaces('owner:me');
  return workspaces.map((workspace) => `${workspace.name} is ${workspace.status}`);
}
