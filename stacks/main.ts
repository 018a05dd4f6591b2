import { App } from 'cdktf';
import { readStateBackend, refusePlainState } from '../modules/service/state-backend.ts';
import { deployable, stacksVariable } from './deployable.ts';

/** The app that `cdktf deploy` runs: deployable stacks only. */
function main(environment: Readonly<Record<string, string | undefined>>): void {
  const named = (environment[stacksVariable] ?? '').split(',').filter((name) => name !== '');
  const unknown = named.filter((name) => !deployable.some((entry) => entry.name === name));
  if (unknown.length > 0) {
    const known = deployable.map(({ name }) => name).join(', ');
    throw new Error(`${stacksVariable} names no stack ${unknown.join(', ')}. Known: ${known}.`);
  }
  const app = new App();
  for (const { name, stack, hasSecretState } of deployable) {
    if (named.length > 0 && !named.includes(name)) continue;
    const backend = readStateBackend(environment, name);
    const refusal = hasSecretState ? refusePlainState(backend, environment, name) : undefined;
    if (refusal === undefined) stack(app, name, backend);
    else if (named.includes(name)) throw new Error(refusal);
    else process.stderr.write(`${name} is left out. ${refusal}\n`);
  }
  app.synth();
}

try {
  // eslint-disable-next-line no-restricted-syntax -- the command that runs this app has no other way to say anything
  main(process.env);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
