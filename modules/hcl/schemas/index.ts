import { readFileSync } from 'node:fs';
import type { ProviderSchemas } from '../provider-schema.ts';

const read = (name: string): ProviderSchemas =>
  JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8')) as ProviderSchemas;

/** Schema of coder/coder 2.19.0, as the real provider prints it. */
export const coderSchema: ProviderSchemas = read('coder');

/** Schema of kreuzwerker/docker 3.6.2, as the real provider prints it. */
export const dockerSchema: ProviderSchemas = read('docker');

/** Schema of hashicorp/kubernetes 2.38.0, reduced by scripts/reduce-schema.ts to the resources that are used here. */
export const kubernetesSchema: ProviderSchemas = read('kubernetes');

/** Schema of coder/coderd 0.0.23, reduced in the same way. Its attributes are nested, so plugin protocol 6 speaks it. */
export const coderdSchema: ProviderSchemas = read('coderd');

/** Every provider a template may use. */
export const templateSchemas: readonly ProviderSchemas[] = [coderSchema, dockerSchema, kubernetesSchema];
