import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import grpc, { type handleUnaryCall, type MethodDefinition, type Server } from '@grpc/grpc-js';
import { decode, encode, ExtData, ExtensionCodec } from '@msgpack/msgpack';
import protobuf from 'protobufjs';
import { schemaMessage, type Attribute, type FakeSchema } from './schema-messages.ts';

/**
 * Providers that know their schema and nothing else, for Terraform's init, validate and plan.
 *
 * Terraform attaches to them through TF_REATTACH_PROVIDERS: no download, no lock entry. They speak protocol 6 where a
 * schema has nested types, else 5, and check nothing that a schema cannot say. What they apply they only believe: it
 * shows what reaches the state and whether a second plan is empty, not what a real provider would do.
 */

/** Values a data source answers with, beside what its configuration sets. */
export type DataValues = (type: string, configuration: Values) => Values;

type Values = Record<string, unknown>;
interface Packed {
  readonly msgpack: Uint8Array;
}

/** Any request; each call reads the fields that are its own. */
interface Message {
  readonly type_name: string;
  readonly config: Packed;
  readonly proposed_new_state: Packed;
  readonly planned_state: Packed;
  readonly current_state: Packed;
  readonly raw_state: { readonly json: Uint8Array };
}

/** The calls whose names differ between the versions of the protocol. */
const calls = {
  5: {
    schema: 'GetSchema',
    prepare: 'PrepareProviderConfig',
    agree: ['ValidateResourceTypeConfig', 'ValidateDataSourceConfig', 'Configure', 'Stop'],
  },
  6: {
    schema: 'GetProviderSchema',
    prepare: 'ValidateProviderConfig',
    agree: ['ValidateResourceConfig', 'ValidateDataResourceConfig', 'ConfigureProvider', 'StopProvider'],
  },
} as const;

type Protocol = keyof typeof calls;

const roots: Readonly<Record<Protocol, protobuf.Root>> = { 5: messagesOf(5), 6: messagesOf(6) };

function messagesOf(protocol: Protocol): protobuf.Root {
  const messages = new protobuf.Root();
  for (const file of ['provider.proto', `attribute-${protocol}.proto`]) {
    protobuf.parse(readFileSync(new URL(file, import.meta.url), 'utf8'), messages, { keepCase: true });
  }
  return messages;
}

const protocolOf = (schema: FakeSchema): Protocol => (JSON.stringify(schema).includes('"nested_type"') ? 6 : 5);

const codec = new ExtensionCodec();
codec.register({ type: 0, encode: () => null, decode: (data) => new ExtData(0, data) });
/** MessagePack extension 0 is Terraform's "unknown until apply". */
const unknown = new ExtData(0, new Uint8Array([0]));
const toMessage = (value: unknown) => ({ msgpack: Buffer.from(encode(value, { extensionCodec: codec })) });
const fromMessage = (message: Packed): Values => decode(message.msgpack, { extensionCodec: codec }) as Values;

/**
 * Runs `use` with an environment in which Terraform finds the fakes.
 *
 * Terraform must be started asynchronously: the fakes answer on this process's event loop.
 */
export async function withFakeProviders<Result>(
  schemas: Readonly<Record<string, FakeSchema>>,
  use: (environment: Record<string, string>) => Promise<Result>,
  dataValues: DataValues = () => ({}),
  plannedValues: DataValues = () => ({}),
): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-providers-'));
  const servers: Server[] = [];
  const reattach: Record<string, unknown> = {};
  try {
    for (const [source, schema] of Object.entries(schemas)) {
      const server = makeServer(schema, dataValues, plannedValues);
      const socket = join(directory, source.replace('/', '-'));
      await listen(server, socket);
      servers.push(server);
      reattach[source] = {
        Protocol: 'grpc',
        ProtocolVersion: protocolOf(schema),
        Pid: process.pid,
        Test: true,
        Addr: { Network: 'unix', String: socket },
      };
    }
    return await use({ TF_REATTACH_PROVIDERS: JSON.stringify(reattach) });
  } finally {
    for (const server of servers) server.forceShutdown();
    rmSync(directory, { recursive: true, force: true });
  }
}

function makeServer(schema: FakeSchema, dataValues: DataValues, plannedValues: DataValues): Server {
  const protocol = protocolOf(schema);
  const server = new grpc.Server({ 'grpc.max_send_message_length': -1 });
  const definition: Record<string, MethodDefinition<Message, object>> = {};
  const implementation: Record<string, handleUnaryCall<Message, object>> = {};
  const answer = (name: string, request: string, response: string, handle: (message: Message) => object): void => {
    definition[name] = method(protocol, name, request, response);
    implementation[name] = (call, callback) => {
      try {
        callback(null, handle(call.request));
      } catch (error) {
        callback(error as Error);
      }
    };
  };
  const attributesOf = (type: string) => schema.resource_schemas?.[type]?.block.attributes ?? {};
  answer(calls[protocol].schema, 'Empty', 'SchemaRes', () => schemaMessage(schema));
  answer(calls[protocol].prepare, 'ConfReq', 'ConfRes', ({ config }) => ({ prepared_config: config }));
  for (const name of calls[protocol].agree) answer(name, 'Empty', 'DiagRes', () => ({}));
  answer('ReadDataSource', 'ReadReq', 'ReadRes', (message) => {
    const configuration = fromMessage(message.config);
    const given = dataValues(message.type_name, configuration);
    const attributes = schema.data_source_schemas?.[message.type_name]?.block.attributes ?? {};
    return { state: toMessage(fill(attributes, configuration, (name, type) => given[name] ?? sample(name, type))) };
  });
  answer('PlanResourceChange', 'PlanReq', 'PlanRes', ({ type_name: type, proposed_new_state: proposed }) => {
    const configuration = fromMessage(proposed);
    const known = plannedValues(type, configuration ?? {});
    return {
      planned_state: toMessage(fill(attributesOf(type), configuration, (name) => known[name] ?? unknown)),
      legacy_type_system: true,
    };
  });
  answer('ApplyResourceChange', 'ApplyReq', 'ApplyRes', ({ type_name: type, planned_state: planned }) => ({
    new_state: toMessage(fill(attributesOf(type), fromMessage(planned), sample)),
    legacy_type_system: true,
  }));
  answer('ReadResource', 'CurrentReq', 'CurrentRes', ({ current_state: state }) => ({ new_state: state }));
  answer('UpgradeResourceState', 'UpgradeReq', 'UpgradeRes', ({ raw_state: { json } }) => ({
    upgraded_state: { json },
  }));
  server.addService(definition, implementation);
  return server;
}

function method(
  protocol: Protocol,
  name: string,
  request: string,
  response: string,
): MethodDefinition<Message, object> {
  const requestType = roots[protocol].lookupType(request);
  const responseType = roots[protocol].lookupType(response);
  return {
    path: `/tfplugin${protocol}.Provider/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: () => Buffer.alloc(0),
    responseDeserialize: () => ({}),
    requestDeserialize: (bytes) => requestType.decode(bytes) as unknown as Message,
    responseSerialize: (message) => Buffer.from(responseType.encode(responseType.fromObject(message)).finish()),
  };
}

/**
 * Gives every computed attribute that is still null, or not known yet, a value; takes write-only ones away.
 *
 * A destroyed object is null as a whole.
 */
function fill(
  attributes: Readonly<Record<string, Attribute>>,
  values: Values | null,
  make: (name: string, type: unknown) => unknown,
): Values | null {
  if (values === null || values instanceof ExtData) return values;
  for (const [name, attribute] of Object.entries(attributes)) {
    const value = values[name];
    const nested = attribute.nested_type;
    const isOpen = value === null || value === undefined || (value instanceof ExtData && make === sample);
    if (attribute.write_only === true) values[name] = null;
    else if (attribute.computed === true && isOpen) values[name] = make(name, attribute.type);
    else if (nested !== undefined && value instanceof Object) {
      const objects = nested.nesting_mode === 'single' ? [value] : Object.values(value);
      for (const one of objects) fill(nested.attributes, one as Values, make);
    }
  }
  return values;
}

function sample(name: string, type: unknown): unknown {
  if (type === 'string') return `fake-${name}`;
  if (type === 'number') return 1;
  if (type === 'bool') return false;
  return Array.isArray(type) && type[0] === 'map' ? {} : [];
}

async function listen(server: Server, socket: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}
