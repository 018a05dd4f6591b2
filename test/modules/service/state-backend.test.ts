import { describe, expect, it } from '@jest/globals';
import { readStateBackend, refusePlainState } from '../../../modules/service/state-backend.ts';

const s3 = { type: 's3', bucket: 'terraform', key: 'outrigger/{stack}.tfstate', encrypt: true };
const given = (backend: unknown) => ({ OUTRIGGER_STATE_BACKEND: JSON.stringify(backend) });

describe('readStateBackend', () => {
  it('keeps the state in a file outside cdktf.out, by a path that holds nothing of the machine', () => {
    expect(readStateBackend({}, 'docker-service')).toEqual({
      type: 'local',
      options: { path: '../../../.outrigger/state/docker-service.tfstate' },
      encrypts: false,
    });
  });

  it('gives each stack a state of its own in the backend that the environment names', () => {
    expect(readStateBackend(given(s3), 'coder-catalog')).toEqual({
      type: 's3',
      options: { bucket: 'terraform', key: 'outrigger/coder-catalog.tfstate', encrypt: true },
      encrypts: true,
    });
  });

  it.each([
    ['no JSON', { OUTRIGGER_STATE_BACKEND: 's3://terraform' }, 'is no JSON object'],
    ['no type', given({ bucket: 'terraform', key: '{stack}' }), 'names no backend'],
    ['one state for all stacks', given({ ...s3, key: 'outrigger.tfstate' }), 'the same state'],
    ['a key of the cloud', given({ ...s3, secret_key: 'hunter2' }), 'holds a credential (secret_key)'],
    ['a password in an address', given({ type: 'http', address: 'https://a:hunter2@example.com/{stack}' }), 'address'],
    ['a connection string', given({ type: 'pg', conn_str: 'postgres://x', schema_name: '{stack}' }), 'PG_CONN_STR'],
  ])('refuses %s without repeating it', (_what, environment, message) => {
    expect(() => readStateBackend(environment, 'docker-service')).toThrow(message);
    expect(() => readStateBackend(environment, 'docker-service')).not.toThrow('hunter2');
  });
});

describe('refusePlainState', () => {
  const refusal = (environment: Record<string, string>) =>
    refusePlainState(readStateBackend(environment, 'coder-catalog'), environment, 'coder-catalog');

  it.each([
    ['s3 with encryption', given(s3)],
    ['gcs', given({ type: 'gcs', bucket: 'terraform', prefix: '{stack}' })],
    ['a plain file that the admin allows', { OUTRIGGER_ALLOW_PLAIN_STATE: 'true' }],
  ])('takes %s', (_what, environment) => {
    expect(refusal(environment)).toBeUndefined();
  });

  it.each([
    ['a plain file', {}],
    ['s3 without encryption', given({ ...s3, encrypt: false })],
    ['a database that may or may not encrypt', given({ type: 'pg', schema_name: '{stack}' })],
    ['a permission that is not "true"', { OUTRIGGER_ALLOW_PLAIN_STATE: '1' }],
  ])('refuses %s and says what to set', (_what, environment) => {
    expect(refusal(environment)).toContain('OUTRIGGER_STATE_BACKEND');
    expect(refusal(environment)).toContain('OUTRIGGER_ALLOW_PLAIN_STATE=true');
  });
});
