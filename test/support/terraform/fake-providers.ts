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
 * Terraform attaches to them through TF_REATTACH_PROVIDERS: no download, no lock entry. They speak protocol 5, check
 * nothing that a schema cannot say, and cannot apply.
 */

/** Values a data source answers with, beside what its configuration sets. */
export type DataValues = (type: string, configuration: Values) => Values;

type Values = Record<string, unknown>;
type Message = Record<string, never> & {
  readonly type_name: string;
  readonly config: { readonly msgpack: Uint8Array };
};

const { root } = protobuf.parse(readFileSync(new URL('provider.proto', import.meta.url), 'utf8'), { keepCase: true });

const codec = new ExtensionCodec();
codec.register({ type: 0, encode: () => null, decode: (data) => new ExtData(0, data) });
/** MessagePack extension 0 is Terraform's "unknown until apply". */
const unknown = new ExtData(0, new Uint8Array([0]));
const toMessage = (value: unknown) => ({ msgpack: Buffer.from(encode(value, { extensionCodec: codec })) });
const fromMessage = (message: { readonly msgpack: Uint8Array }): Values =>
  decode(message.msgpack, { extensionCodec: codec }) as Values;

/**
 * Runs `use` with an environment in which Terraform finds the fakes.
 *
 * Terraform must be started asynchronously: the fakes answer on this process's event loop.
 */
export async function withFakeProviders<Result>(
  schemas: Readonly<Record<string, FakeSchema>>,
  use: (environment: Record<string, string>) => Promise<Result>,
  dataValues: DataValues = () => ({}),
): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-providers-'));
  const servers: Server[] = [];
  const reattach: Record<string, unknown> = {};
  try {
    for (const [source, schema] of Object.entries(schemas)) {
      const server = makeServer(schema, dataValues);
      const socket = join(directory, source.replace('/', '-'));
      await listen(server, socket);
      servers.push(server);
      reattach[source] = {
        Protocol: 'grpc',
        ProtocolVersion: 5,
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

function makeServer(schema: FakeSchema, dataValues: DataValues): Server {
  const server = new grpc.Server({ 'grpc.max_send_message_length': -1 });
  const definition: Record<string, MethodDefinition<Message, object>> = {};
  const implementation: Record<string, handleUnaryCall<Message, object>> = {};
  const answer = (name: string, request: string, response: string, handle: (message: Message) => object): void => {
    definition[name] = method(name, request, response);
    implementation[name] = (call, callback) => {
      try {
        callback(null, handle(call.request));
      } catch (error) {
        callback(error as Error);
      }
    };
  };
  answer('GetSchema', 'Empty', 'SchemaRes', () => schemaMessage(schema));
  answer('PrepareProviderConfig', 'ConfReq', 'ConfRes', ({ config }) => ({ prepared_config: config }));
  for (const name of ['ValidateResourceTypeConfig', 'ValidateDataSourceConfig', 'Configure', 'Stop']) {
    answer(name, 'Empty', 'DiagRes', () => ({}));
  }
  answer('ReadDataSource', 'ReadReq', 'ReadRes', (message) => {
    const configuration = fromMessage(message.config);
    const given = dataValues(message.type_name, configuration);
    const attributes = schema.data_source_schemas?.[message.type_name]?.block.attributes ?? {};
    return { state: toMessage(fill(attributes, configuration, (name, type) => given[name] ?? sample(name, type))) };
  });
  answer('PlanResourceChange', 'PlanReq', 'PlanRes', (message) => {
    const { type_name: type, proposed_new_state: proposed } = message as unknown as PlanRequest;
    const attributes = schema.resource_schemas?.[type]?.block.attributes ?? {};
    return {
      planned_state: toMessage(fill(attributes, fromMessage(proposed), () => unknown)),
      legacy_type_system: true,
    };
  });
  server.addService(definition, implementation);
  return server;
}

interface PlanRequest {
  readonly type_name: string;
  readonly proposed_new_state: { readonly msgpack: Uint8Array };
}

function method(name: string, request: string, response: string): MethodDefinition<Message, object> {
  const requestType = root.lookupType(request);
  const responseType = root.lookupType(response);
  return {
    path: `/tfplugin5.Provider/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: () => Buffer.alloc(0),
    responseDeserialize: () => ({}),
    requestDeserialize: (bytes) => requestType.decode(bytes) as unknown as Message,
    responseSerialize: (message) => Buffer.from(responseType.encode(responseType.fromObject(message)).finish()),
  };
}

/** Gives every computed attribute that is still null a value. A destroyed object is null as a whole. */
function fill(
  attributes: Readonly<Record<string, Attribute>>,
  values: Values | null,
  make: (name: string, type: unknown) => unknown,
): Values | null {
  if (values === null) return null;
  for (const [name, attribute] of Object.entries(attributes)) {
    if (attribute.computed === true && (values[name] === null || values[name] === undefined)) {
      values[name] = make(name, attribute.type);
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
