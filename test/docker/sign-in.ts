import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { docker } from '../support/terraform/planned-docker.ts';

/** Where the program lies that git asks for a password; Coder's agent names its own in GIT_ASKPASS. */
export const askpassPath = '/usr/local/bin/askpass';

export interface SignIn {
  /** How often a token was given. */
  given(): number;
  /** Puts the program into a worker that runs. */
  install(worker: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * The part of Coder that answers git's questions: whoever has the token of the workspace agent gets the owner's.
 *
 * Source: coder/coder cli/gitaskpass.go, coderd/workspaceagents.go (GET …/workspaceagents/me/external-auth)
 */
export async function startSignIn(host: string, agentToken: () => string, token: string): Promise<SignIn> {
  let given = 0;
  const server = createServer((request, response) => {
    const isKnown = request.headers['coder-session-token'] === agentToken();
    if (isKnown) given += 1;
    response
      .writeHead(isKnown ? 200 : 401, { 'Content-Type': 'application/json' })
      .end(JSON.stringify(isKnown ? { username: 'oauth2', password: token } : { message: 'Not yours.' }));
  });
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    given: () => given,
    async install(worker) {
      const program = askpass(`http://host.docker.internal:${port}`);
      const put = `printf '%s' '${Buffer.from(program).toString('base64')}' | base64 -d > ${askpassPath} && chmod 755 ${askpassPath}`;
      await docker('exec', '--user', '0', worker, 'sh', '-c', put);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const askpass = (coder: string): string => `#!/bin/sh
case $1 in User*) field=username ;; *) field=password ;; esac
printf 'header = "Coder-Session-Token: %s"\\n' "$CODER_AGENT_TOKEN" |
  curl --fail --silent --config - '${coder}/api/v2/workspaceagents/me/external-auth' |
  sed -n "s/.*\\"$field\\":\\"\\([^\\"]*\\)\\".*/\\1/p"
`;
