import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startOpenCode, type OpenCodeServer } from '../../gateway/opencode-server.ts';
import { script, startScriptedModel, type ScriptedModel } from './scripted-model.ts';

let model: ScriptedModel;
let opencode: OpenCodeServer;

beforeAll(async () => {
  model = await startScriptedModel({
    plays: script([
      {
        match: /bring the news/i,
        steps: [
          { tool: 'bash', arguments: { command: 'echo started >> steps.log', description: 'Starts' } },
          {
            tool: 'bash',
            arguments: { command: 'echo second >> steps.log; test -e go || sleep 120', description: 'Waits' },
          },
          { text: 'The news is here.' },
        ],
      },
    ]),
  });
  opencode = await startOpenCode({ baseUrl: model.url, apiKey: 'any' });
});

afterAll(async () => {
  await opencode.close();
  await model.close();
});

const file = (name: string): string => readFileSync(join(opencode.workDirectory, name), 'utf8');
const exists = (name: string): boolean => {
  try {
    return file(name) !== '';
  } catch {
    return false;
  }
};

describe('a real OpenCode with the scripted model (part of D21)', () => {
  it('writes and edits files', async () => {
    await opencode.prompt('SCENARIO:write ARG:note.txt|one two', 150_000);
    const edit = { filePath: join(opencode.workDirectory, 'note.txt'), oldString: 'two', newString: 'three' };
    await opencode.prompt(`SCENARIO:any ARG:read ${JSON.stringify({ filePath: edit.filePath })}`, 150_000);

    const turn = await opencode.prompt(`SCENARIO:edit ARG:${JSON.stringify(edit)}`, 150_000);

    expect(turn).toMatchObject({ finish: 'stop', error: null });
    expect(file('note.txt')).toBe('one three');
  });

  it('runs the commands of one answer side by side', async () => {
    const turn = await opencode.prompt('SCENARIO:parallel ARG:echo 1 > one.txt ;; echo 2 > two.txt', 150_000);

    expect(turn.finish).toBe('stop');
    expect([file('one.txt'), file('two.txt')]).toEqual(['1\n', '2\n']);
  });

  it('gives a sub-agent its own prompt', async () => {
    const turn = await opencode.prompt('SCENARIO:task ARG:CHILD:write ARG:child.txt|made by a child', 150_000);

    expect(turn.finish).toBe('stop');
    expect(file('child.txt')).toBe('made by a child');
  });

  it.each(['text', 'reason', 'badtool', 'slow ARG:10'])('ends %s with stop', async (scenario) => {
    expect(await opencode.prompt(`SCENARIO:${scenario}`, 150_000)).toMatchObject({ finish: 'stop', error: null });
  });

  it('plays the interrupted step again, and nothing before it, when a killed session is resumed', async () => {
    const session = await opencode.begin('Please bring the news.');
    const deadline = Date.now() + 120_000;
    while (!(exists('steps.log') && file('steps.log').includes('second')) && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 50));

    await opencode.restart();
    await opencode.prompt('SCENARIO:write ARG:go|1', 150_000);
    const turn = await opencode.prompt('Continue where you were.', 150_000, session);

    expect(turn).toMatchObject({ finish: 'stop', text: 'The news is here.' });
    expect(file('steps.log')).toBe('started\nsecond\nsecond\n');
  });
});
