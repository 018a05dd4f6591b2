/** A checked-in provider schema as the messages that Terraform asks a provider for. */

/** One provider of a `terraform providers schema -json` dump, with the parts a fake answers from. */
export interface FakeSchema {
  readonly provider?: Entity;
  readonly resource_schemas?: Readonly<Record<string, Entity>>;
  readonly data_source_schemas?: Readonly<Record<string, Entity>>;
}

export interface Entity {
  readonly version?: number;
  readonly block: Block;
}

export interface Block {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly block_types?: Readonly<Record<string, NestedBlock>>;
}

export interface Attribute {
  readonly type?: unknown;
  readonly required?: boolean;
  readonly optional?: boolean;
  readonly computed?: boolean;
  readonly sensitive?: boolean;
  readonly deprecated?: boolean;
  /** Given to the provider and never kept: null in every plan and state. */
  readonly write_only?: boolean;
  /** Instead of `type`, in providers that speak protocol 6. */
  readonly nested_type?: {
    readonly nesting_mode: string;
    readonly attributes: Readonly<Record<string, Attribute>>;
  };
}

export interface NestedBlock {
  readonly nesting_mode: string;
  readonly min_items?: number;
  readonly max_items?: number;
  readonly block: Block;
}

const nesting: Readonly<Record<string, number>> = { single: 1, list: 2, set: 3, map: 4, group: 5 };

/** The answer to "which schemas do you have". */
export function schemaMessage(schema: FakeSchema) {
  return {
    provider: entityMessage(schema.provider),
    resource_schemas: entityMessages(schema.resource_schemas),
    data_source_schemas: entityMessages(schema.data_source_schemas),
  };
}

function entityMessages(entities: Readonly<Record<string, Entity>> = {}) {
  return Object.fromEntries(Object.entries(entities).map(([type, entity]) => [type, entityMessage(entity)]));
}

function entityMessage(entity: Entity | undefined) {
  return { version: entity?.version ?? 0, block: blockMessage(entity?.block ?? {}) };
}

function attributeMessages(attributes: Readonly<Record<string, Attribute>> = {}): object[] {
  return Object.entries(attributes).map(([name, attribute]) => ({
    name,
    ...typeMessage(attribute),
    required: attribute.required === true,
    optional: attribute.optional === true,
    computed: attribute.computed === true,
    sensitive: attribute.sensitive === true,
    deprecated: attribute.deprecated === true,
    write_only: attribute.write_only === true,
  }));
}

function typeMessage({ type, nested_type: nested }: Attribute): object {
  if (nested === undefined) return { type: Buffer.from(JSON.stringify(type)) };
  return { nested_type: { nesting: nesting[nested.nesting_mode], attributes: attributeMessages(nested.attributes) } };
}

function blockMessage(block: Block): object {
  return {
    attributes: attributeMessages(block.attributes),
    block_types: Object.entries(block.block_types ?? {}).map(([name, nested]) => ({
      type_name: name,
      nesting: nesting[nested.nesting_mode],
      min_items: nested.min_items ?? 0,
      max_items: nested.max_items ?? 0,
      block: blockMessage(nested.block),
    })),
  };
}
