import {
  attributesOnly,
  block,
  blocks,
  bySchema,
  condition,
  each,
  lifecycle,
  metaArguments,
  modes,
  object,
  provisioning,
  type Rule,
} from './body.ts';
import { layOutBody, type BodyPart } from './layout.ts';
import { makeSchemaLookup, type BlockSchema, type ProviderSchemas, type SchemaLookup } from './provider-schema.ts';
import type { Json, JsonObject, StringMode } from './values.ts';

/**
 * Prints a synthesized Terraform configuration as the HCL a person would write.
 *
 * Shape    the configuration in Terraform's JSON syntax (`cdk.tf.json`); the result ends in a newline.
 * Promise  `terraform fmt` leaves it alone, and its plan equals the plan of the JSON.
 * Errors   a type, argument or top-level word that no schema knows: printing it would be a guess, dropping it a lie.
 */
export function printHcl(configuration: JsonObject, schemas: readonly ProviderSchemas[]): string {
  const terraform = object(configuration.terraform ?? {}, 'terraform');
  const lookup = makeSchemaLookup(schemas, object(terraform.required_providers ?? {}, 'required_providers') as never);
  for (const word of Object.keys(configuration)) {
    if (!topLevel.some((section) => section.word === word) && word !== '//') {
      throw new Error(
        `The configuration has "${word}", which the printer does not know. Teach it, or remove the word.`,
      );
    }
  }
  const parts = topLevel.flatMap(({ word, print }) => {
    const section = configuration[word];
    return section === undefined ? [] : print(section, lookup);
  });
  return `${layOutBody(parts, '').join('\n')}\n`;
}

interface Section {
  readonly word: string;
  readonly print: (section: Json, lookup: SchemaLookup) => readonly BodyPart[];
}

/** The order of a template, and how each part of it is printed. */
const topLevel: readonly Section[] = [
  { word: 'terraform', print: (section) => [printTerraform(object(section, 'terraform'))] },
  { word: 'provider', print: printProviders },
  { word: 'variable', print: (section) => labelled(section, 'variable', printVariable) },
  { word: 'locals', print: (section) => [block('locals', object(section, 'locals'), [attributesOnly])] },
  { word: 'data', print: (section, lookup) => typed(section, 'data', (type) => lookup.data(type)) },
  { word: 'resource', print: (section, lookup) => typed(section, 'resource', (type) => lookup.resource(type)) },
  { word: 'module', print: (section) => labelled(section, 'module', printModule) },
  { word: 'output', print: (section) => labelled(section, 'output', printOutput) },
  { word: 'check', print: (section) => labelled(section, 'check', printCheck) },
  { word: 'moved', print: (section) => plainBlocks(section, 'moved', { from: 'raw', to: 'raw' }) },
  { word: 'removed', print: printRemoved },
  { word: 'import', print: (section) => plainBlocks(section, 'import', { to: 'raw', provider: 'raw' }) },
];

function printTerraform(terraform: JsonObject): BodyPart {
  const { required_providers: providers, ...rest } = terraform;
  const literal: Rule = () => ({ kind: 'attribute', mode: 'literal' });
  const labelledParts = ['backend', 'provider_meta'].flatMap((word) =>
    Object.entries(object(rest[word] ?? {}, word)).map(([label, body]) =>
      block(`${word} ${JSON.stringify(label)}`, object(body, word), [literal]),
    ),
  );
  const own = Object.fromEntries(Object.entries(rest).filter(([word]) => !['backend', 'provider_meta'].includes(word)));
  const head = block('terraform', own, [modes({ required_version: 'literal' }), blocks({ cloud: [literal] })]);
  const required =
    providers === undefined ? [] : [block('required_providers', object(providers, 'required_providers'), [literal])];
  return head.kind === 'block' ? { ...head, body: [...head.body, ...required, ...labelledParts] } : head;
}

function printProviders(section: Json, lookup: SchemaLookup): readonly BodyPart[] {
  return Object.entries(object(section, 'provider')).flatMap(([name, value]) =>
    each(value, `provider ${name}`).map((one) =>
      block(`provider "${name}"`, one, [modes({ alias: 'literal' }), ...bySchema(lookup.provider(name))]),
    ),
  );
}

function typed(section: Json, word: string, schemaOf: (type: string) => BlockSchema): readonly BodyPart[] {
  return Object.entries(object(section, word)).flatMap(([type, byName]) =>
    Object.entries(object(byName, type)).flatMap(([name, value]) =>
      each(value, `${type}.${name}`).map((one) =>
        block(`${word} "${type}" "${name}"`, one, [
          metaArguments,
          lifecycle,
          provisioning,
          ...bySchema(schemaOf(type)),
        ]),
      ),
    ),
  );
}

function labelled(
  section: Json,
  word: string,
  print: (header: string, body: JsonObject) => BodyPart,
): readonly BodyPart[] {
  return Object.entries(object(section, word)).flatMap(([name, value]) =>
    each(value, `${word}.${name}`).map((one) => print(`${word} ${JSON.stringify(name)}`, one)),
  );
}

function printVariable(header: string, body: JsonObject): BodyPart {
  return block(header, body, [
    modes({ type: 'raw', default: 'literal', description: 'literal' }),
    modes({ sensitive: 'raw', nullable: 'raw', ephemeral: 'raw' }),
    blocks({ validation: condition }),
  ]);
}

function printOutput(header: string, body: JsonObject): BodyPart {
  return block(header, body, [
    modes({ value: 'template', description: 'literal', sensitive: 'raw', ephemeral: 'raw', depends_on: 'raw' }),
    blocks({ precondition: condition }),
  ]);
}

function printModule(header: string, body: JsonObject): BodyPart {
  return block(header, body, [
    modes({ source: 'literal', version: 'literal', providers: 'raw' }),
    metaArguments,
    attributesOnly,
  ]);
}

function printCheck(header: string, body: JsonObject): BodyPart {
  return block(header, body, [blocks({ assert: condition })]);
}

function plainBlocks(section: Json, word: string, raw: Readonly<Record<string, StringMode>>): readonly BodyPart[] {
  return each(section, word).map((one) => block(word, one, [modes(raw), metaArguments, attributesOnly]));
}

function printRemoved(section: Json): readonly BodyPart[] {
  return each(section, 'removed').map((one) =>
    block('removed', one, [modes({ from: 'raw' }), blocks({ lifecycle: [modes({ destroy: 'raw' })] })]),
  );
}
