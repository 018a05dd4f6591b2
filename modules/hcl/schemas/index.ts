import { readFileSync } from 'node:fs';
import type { ProviderSchemas } from '../provider-schema.ts';

const read = (name: string): ProviderSchemas =>
  JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8')) as ProviderSchemas;

/** Schema of coder/coder 2.19.0, as the real provider prints it. */
export const coderSchema: ProviderSchemas = read('coder');

/** Schema of kreuzwerker/docker 3.6.2, as the real provider prints it. */
export const dockerSchema: ProviderSchemas = read('docker');

/** Every provider a template may use. */
export const templateSchemas: readonly ProviderSchemas[] = [coderSchema, dockerSchema];
