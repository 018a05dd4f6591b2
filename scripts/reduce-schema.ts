/**
 * Copies what this project uses of a provider's schema dump to modules/hcl/schemas.
 *
 * usage: node --import tsx scripts/reduce-schema.ts kubernetes|coderd DUMP.json
 * DUMP   what `terraform providers schema -json` prints on a networked machine
 * exit   0 written · 1 the dump lacks a type · 2 wrong usage
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';

/** Of each provider its source and the resources that a template or a stack makes; a pod spec is 170 KB, so not all. */
const kept: Readonly<Record<string, { readonly source: string; readonly resources: readonly string[] }>> = {
  kubernetes: {
    source: 'hashicorp/kubernetes',
    resources: [
      'kubernetes_config_map_v1',
      'kubernetes_deployment_v1',
      'kubernetes_ingress_v1',
      'kubernetes_limit_range_v1',
      'kubernetes_namespace_v1',
      'kubernetes_network_policy_v1',
      'kubernetes_persistent_volume_claim_v1',
      'kubernetes_pod_disruption_budget_v1',
      'kubernetes_resource_quota_v1',
      'kubernetes_secret_v1',
      'kubernetes_service_v1',
      'kubernetes_stateful_set_v1',
    ],
  },
  coderd: { source: 'coder/coderd', resources: ['coderd_template'] },
};

interface Dump {
  readonly provider_schemas: Readonly<
    Record<string, { readonly provider: unknown; readonly resource_schemas: Readonly<Record<string, unknown>> }>
  >;
}

/** The dump with one provider, without descriptions and without the types that nothing here makes. */
export function reduceSchema(dump: Dump, name: string): object {
  const wanted = kept[name];
  if (wanted === undefined)
    throw new Error(`There is no provider "${name}" here. Known: ${Object.keys(kept).join(', ')}.`);
  const found = Object.entries(dump.provider_schemas).find(
    ([key]) => key === wanted.source || key.endsWith(`/${wanted.source}`),
  )?.[1];
  if (found === undefined)
    throw new Error(
      `The dump holds no provider ${wanted.source}. Dump the schema of a configuration that requires it.`,
    );
  const resources = wanted.resources.map((type) => {
    const schema = found.resource_schemas[type];
    if (schema === undefined) throw new Error(`The dump lacks ${type}. Take one of a provider version that has it.`);
    return [type, schema] as const;
  });
  return withoutDescriptions({
    format_version: '1.0',
    provider_schemas: {
      [wanted.source]: {
        provider: found.provider,
        resource_schemas: Object.fromEntries(resources),
        data_source_schemas: {},
      },
    },
  }) as object;
}

/** An attribute named `description` is an object, a description is text: only the text goes. */
function withoutDescriptions(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDescriptions);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(
    ([key, one]) => !(/^description(_kind)?$/.test(key) && typeof one === 'string'),
  );
  return Object.fromEntries(entries.map(([key, one]) => [key, withoutDescriptions(one)]));
}

async function main([name, path]: readonly string[]): Promise<number> {
  if (name === undefined || path === undefined || kept[name] === undefined) {
    console.error(`usage: node --import tsx scripts/reduce-schema.ts ${Object.keys(kept).join('|')} DUMP.json`);
    return 2;
  }
  const reduced = reduceSchema(JSON.parse(readFileSync(path, 'utf8')) as Dump, name);
  const out = fileURLToPath(new URL(`../modules/hcl/schemas/${name}.json`, import.meta.url));
  const text = await format(JSON.stringify(reduced), { parser: 'json', printWidth: 120 });
  writeFileSync(out, text);
  console.log(`modules/hcl/schemas/${name}.json: ${text.length} bytes.`);
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  });
}
