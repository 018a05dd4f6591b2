import { App } from 'cdktf';

/**
 * The app that `cdktf deploy` runs: deployable stacks only.
 *
 * Templates are not here on purpose: `cdktf deploy` would apply one outside Coder. `outrigger template render` makes
 * them, `outrigger template push` publishes them.
 */
const deployable: readonly ((app: App) => unknown)[] = [];

if (deployable.length === 0) {
  process.stderr.write(
    'There is nothing to deploy with cdktf yet. Templates are rendered with `outrigger template render` and published with `outrigger template push`.\n',
  );
}

const app = new App();
for (const addStack of deployable) addStack(app);
app.synth();
