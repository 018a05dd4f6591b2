/** What `terraform providers schema -json` says about a provider; only what the printer reads. */
export interface ProviderSchemas {
  readonly provider_schemas: Readonly<Record<string, ProviderSchema>>;
}

export interface ProviderSchema {
  readonly provider?: EntitySchema;
  readonly resource_schemas?: Readonly<Record<string, EntitySchema>>;
  readonly data_source_schemas?: Readonly<Record<string, EntitySchema>>;
}

export interface EntitySchema {
  readonly block: BlockSchema;
}

export interface BlockSchema {
  readonly attributes?: Readonly<Record<string, AttributeSchema>>;
  readonly block_types?: Readonly<Record<string, NestedBlockSchema>>;
}

export interface AttributeSchema {
  readonly type?: unknown;
  readonly required?: boolean;
  readonly optional?: boolean;
  readonly computed?: boolean;
}

export interface NestedBlockSchema {
  readonly nesting_mode: string;
  readonly block: BlockSchema;
}

/** Finds the schema of a provider by its local name; throws for names and types that no schema knows. */
export interface SchemaLookup {
  provider(localName: string): BlockSchema;
  resource(type: string): BlockSchema;
  data(type: string): BlockSchema;
}

/** `terraform_data` is built into Terraform and has attributes only. */
const terraformData: BlockSchema = {
  attributes: {
    input: { optional: true },
    triggers_replace: { optional: true },
    id: { computed: true },
    output: { computed: true },
  },
};

/**
 * Looks schemas up for one template.
 *
 * A type belongs to the local provider name before its first `_`; `required_providers` gives that name a source, and
 * schema keys are sources with or without a registry host. Unknown is an error, never a guess.
 */
export function makeSchemaLookup(
  schemas: readonly ProviderSchemas[],
  requiredProviders: Readonly<Record<string, { readonly source?: string }>>,
): SchemaLookup {
  const known = new Map(schemas.flatMap((one) => Object.entries(one.provider_schemas)));

  function schemaOf(localName: string): ProviderSchema {
    const source = requiredProviders[localName]?.source ?? `hashicorp/${localName}`;
    for (const [key, schema] of known) {
      if (key === source || key.endsWith(`/${source}`) || source.endsWith(`/${key}`)) return schema;
    }
    throw new Error(
      `No schema of provider ${source} is checked in, so its blocks cannot be told from its attributes. Add it under modules/hcl/schemas.`,
    );
  }

  function entity(kind: 'resource_schemas' | 'data_source_schemas', type: string): BlockSchema {
    if (type === 'terraform_data' && kind === 'resource_schemas') return terraformData;
    const found = schemaOf(type.split('_', 1)[0] ?? type)[kind]?.[type];
    if (found === undefined) {
      throw new Error(
        `${type} is in no provider schema, so it cannot be printed. Check its name or refresh the schema.`,
      );
    }
    return found.block;
  }

  return {
    provider: (localName) => schemaOf(localName).provider?.block ?? {},
    resource: (type) => entity('resource_schemas', type),
    data: (type) => entity('data_source_schemas', type),
  };
}
