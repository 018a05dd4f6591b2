import { describe, expect, it } from '@jest/globals';
import { createLogger } from '../../service/platform/logger.ts';

const canary = 'canary-7f3a9c';

/** The lines one piece of logging writes, as text and as JSON. */
function logged(write: (log: ReturnType<typeof createLogger>) => void): {
  text: string;
  line: Record<string, unknown>;
} {
  const lines: string[] = [];
  write(createLogger({ level: 'trace', destination: { write: (line) => void lines.push(line) } }));
  const text = lines.join('');
  return { text, line: JSON.parse(lines[0] ?? 'null') as Record<string, unknown> };
}

describe('a log line', () => {
  it('is one JSON object with a level by name, a UTC time, the message and the fields', () => {
    const { line, text } = logged((log) => log.info({ taskId: 't1', durationMs: 12 }, 'task succeeded'));

    expect(line).toMatchObject({ level: 'info', msg: 'task succeeded', taskId: 't1', durationMs: 12 });
    expect(line['time']).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(text.endsWith('\n')).toBe(true);
    expect(line).not.toHaveProperty('hostname');
  });

  it.each<[string, object]>([
    ['a token', { token: canary }],
    ['a header', { request: { headers: { authorization: canary, cookie: canary } } }],
    ['a Coder token in a header', { request: { headers: { 'coder-session-token': canary } } }],
    ['an API key in a header', { headers: { 'x-api-key': canary } }],
    ['cookies in a list', { response: { headers: { 'set-cookie': [canary, canary] } } }],
    ['a prompt', { task: { prompt: canary } }],
    ['a password with a quote in it', { database: { password: `a"${canary}` } }],
    ['a variable by its name', { environment: { OPENROUTER_API_KEY: canary } }],
    [
      'a configuration',
      { config: { coder: { serviceToken: canary }, keyring: { '1': canary }, auditSigningKey: canary } },
    ],
    ['a secret far down', { a: { b: { c: { d: { clientSecret: canary, list: [{ bridge_token: canary }] } } } } }],
  ])('does not show %s', (_, fields) => {
    const { text, line } = logged((log) => log.info({ ...fields, kept: 'kept' }, 'told'));

    expect(text).not.toContain(canary);
    expect(text).toContain('[redacted]');
    expect(line).toMatchObject({ kept: 'kept', msg: 'told' });
  });

  it.each([
    ['a token of ours', `refused orb_${canary.padEnd(43, 'x')} here`],
    ['a template secret', `refused ors_1a2b_${canary.padEnd(43, 'x')} here`],
    ['the password of a database address', `cannot reach postgres://outrigger:${canary}@127.0.0.1:5432/x`],
    ['a bearer token', `sent Authorization: Bearer ${canary}`],
  ])('does not show %s inside a message or an error', (_, sentence) => {
    const message = logged((log) => log.error(sentence));
    const error = logged((log) => log.error({ err: new Error(sentence) }, 'broke'));

    expect(message.text).not.toContain(canary);
    expect(message.line['msg']).toContain('[redacted]');
    expect(error.text).not.toContain(canary);
    expect(error.line['msg']).toBe('broke');
  });

  it('does not show what a child logger was bound to', () => {
    const { text } = logged((log) => log.child({ taskToken: canary, taskId: 't1' }).warn('held'));

    expect(text).not.toContain(canary);
    expect(text).toContain('t1');
  });

  it('shows counts and names that only sound secret', () => {
    const { line } = logged((log) => log.info({ tokensAfterStop: 0, token_count: 7, secretName: 'github' }, 'counted'));

    expect(line).toMatchObject({ tokensAfterStop: 0, token_count: 7, secretName: 'github' });
  });
});
