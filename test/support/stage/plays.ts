import { script, type Play } from '../model/scripted-model.ts';

const usersModule = `const users = [];

export function addUser(user) {
  users.push({ id: users.length + 1, ...user });
}

export function listUsers() {
  return [...users];
}
`;

const page = `<!doctype html>
<html lang="en">
  <title>Users</title>
  <ul id="users"></ul>
  <script type="module">
    import { listUsers } from '../src/users.mjs';
    document.querySelector('#users').append(...listUsers().map((user) => Object.assign(document.createElement('li'), { textContent: user.name })));
  </script>
</html>
`;

const guide = `# Deploying

1. Copy \`src/\` and \`public/\` to the server.
2. Serve \`public/\` as static files.
`;

/** What the scripted model does for the three steps of the Full Stack Feature. */
export const fullStackPlays: readonly Play[] = script([
  {
    match: /user management/i,
    steps: [
      { tool: 'write', arguments: { filePath: 'src/users.mjs', content: usersModule } },
      { tool: 'bash', arguments: { command: 'node --test', description: 'Runs the tests' } },
      { text: 'src/users.mjs holds addUser and listUsers; the test passes.' },
    ],
  },
  {
    match: /page that lists the users/i,
    steps: [
      { tool: 'write', arguments: { filePath: 'public/index.html', content: page } },
      { text: 'public/index.html lists the users.' },
    ],
  },
  {
    match: /how to deploy/i,
    steps: [
      { tool: 'write', arguments: { filePath: 'docs/deploy.md', content: guide } },
      { text: 'docs/deploy.md says how to deploy.' },
    ],
  },
]);

/** The workflow these plays answer: the Full Stack Feature with all three steps for OpenCode. */
export const fullStackFeature = (workspaceId: string) => ({
  name: 'Full Stack Feature',
  workspace_id: workspaceId,
  steps: [
    {
      id: 'backend',
      agent: 'opencode',
      task: 'generate_api',
      params: { prompt: 'Write src/users.mjs for user management so that the test passes, and run the tests.' },
      verify: { argv: ['node', '--test'], timeout_seconds: 60 },
    },
    {
      id: 'frontend',
      agent: 'opencode',
      task: 'generate_ui',
      depends_on: ['backend'],
      params: { prompt: 'Write a page that lists the users. The backend step said: {{steps.backend.output}}' },
    },
    {
      id: 'deploy',
      agent: 'opencode',
      task: 'generate_code',
      depends_on: ['backend', 'frontend'],
      params: { prompt: 'Write down in docs/deploy.md how to deploy this. {{steps.frontend.output}}' },
    },
  ],
});
