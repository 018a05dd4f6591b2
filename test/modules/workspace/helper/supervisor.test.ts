import { describe, expect, it } from '@jest/globals';
import type { IdeState, IdeWish } from '../../../../modules/contract.ts';
import { IdeMissing, type IdeProcess } from '../../../../modules/workspace/helper/ide-process.ts';
import { gapAfter, shortestGapMs, superviseIde } from '../../../../modules/workspace/helper/supervisor.ts';

/** An IDE that lives by hand, and a clock that moves by hand. */
function makeScene(first: IdeWish = { enabled: true, generation: 1 }) {
  const scene = {
    wish: first,
    nowMs: 0,
    launches: 0,
    stops: 0,
    ended: null as string | null,
    serves: true,
    missing: '',
    waitsFor: null as string | null,
  };
  const told: IdeState[] = [];
  const supervisor = superviseIde({
    wish: () => scene.wish,
    waitsFor: () => scene.waitsFor,
    launch: (): IdeProcess => {
      if (scene.missing !== '') throw new IdeMissing(scene.missing);
      scene.launches += 1;
      scene.ended = null;
      return {
        ended: () => scene.ended,
        isServing: async () => await Promise.resolve(scene.serves),
        stop: async () => await Promise.resolve(void (scene.stops += 1)),
      };
    },
    tell: (state) => void told.push(state),
    nowMs: () => scene.nowMs,
  });
  const pass = async (ms: number): Promise<void> => {
    for (const end = scene.nowMs + ms; scene.nowMs < end; scene.nowMs += 1_000) await supervisor.look();
  };
  return { scene, told, supervisor, pass, phases: () => told.map(({ phase }) => phase) };
}

describe('the supervisor of the IDE', () => {
  it('starts what is wanted and says when it serves', async () => {
    const { pass, told, scene } = makeScene();
    scene.serves = false;
    await pass(2_000);
    scene.serves = true;
    await pass(2_000);

    expect(told).toEqual([
      { phase: 'Starting', message: '', generation: 1 },
      { phase: 'Ready', message: '', generation: 1 },
    ]);
  });

  it('starts nothing before all that it needs is there, and says what it waits for', async () => {
    const { pass, told, scene } = makeScene();
    scene.waitsFor = 'It waits for its tools.';
    await pass(120_000);
    expect(scene.launches).toBe(0);
    expect(told).toEqual([{ phase: 'Starting', message: 'It waits for its tools.', generation: 1 }]);

    scene.waitsFor = null;
    await pass(2_000);
    expect(told.slice(1)).toEqual([
      { phase: 'Starting', message: '', generation: 1 },
      { phase: 'Ready', message: '', generation: 1 },
    ]);
  });

  it('stops what is not wanted any more, and answers each wish by its generation', async () => {
    const { pass, told, scene } = makeScene();
    await pass(2_000);
    scene.wish = { enabled: false, generation: 2 };
    await pass(1_000);
    scene.wish = { enabled: false, generation: 3 };
    await pass(1_000);

    expect(told.slice(-2)).toEqual([
      { phase: 'Stopped', message: '', generation: 2 },
      { phase: 'Stopped', message: '', generation: 3 },
    ]);
    expect(scene.stops).toBe(1);
  });

  it('starts a dead one again with growing pauses, and gives up after five', async () => {
    const { pass, supervisor, scene } = makeScene();
    const starts: number[] = [];
    scene.serves = false;
    for (let looks = 0; looks < 200; looks += 1) {
      const before = scene.launches;
      await pass(1_000);
      if (scene.launches > before) starts.push(scene.nowMs);
      scene.ended = 'ended with 1';
    }
    const gaps = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));

    expect(gaps).toEqual([6_000, 12_000, 24_000, 30_000]);
    expect(supervisor.state()).toMatchObject({
      phase: 'Failed',
      message: expect.stringMatching(/ended with 1, 5 times/),
    });
    expect(Buffer.byteLength(supervisor.state().message)).toBeLessThanOrEqual(160);
  });

  it('tries again when somebody wishes again', async () => {
    const { pass, supervisor, scene } = makeScene();
    scene.missing = 'This image holds no IDE.';
    await pass(60_000);
    expect(supervisor.state()).toEqual({ phase: 'Failed', message: scene.missing, generation: 1 });

    scene.missing = '';
    await pass(60_000);
    expect(scene.launches).toBe(0);
    scene.wish = { enabled: true, generation: 2 };
    await pass(5_000);

    expect(supervisor.state()).toEqual({ phase: 'Ready', message: '', generation: 2 });
  });

  it('starts it at most every three seconds, however often the wish changes', async () => {
    const { pass, scene } = makeScene();
    for (let generation = 2; generation < 62; generation += 1) {
      scene.wish = { enabled: generation % 2 === 0, generation };
      await pass(1_000);
    }

    expect(gapAfter(0)).toBe(shortestGapMs);
    expect(scene.launches).toBeLessThanOrEqual(21);
    expect(scene.launches).toBeGreaterThan(5);
  });

  it('ends one that never answers, and one that stops answering', async () => {
    const { pass, scene, told } = makeScene();
    scene.serves = false;
    await pass(62_000);
    expect(told.at(-1)?.message).toContain('did not answer in time');
    expect(scene.stops).toBe(1);

    scene.serves = true;
    await pass(20_000);
    expect(told.at(-1)).toMatchObject({ phase: 'Ready', message: '' });
    scene.serves = false;
    await pass(60_000);

    expect(told.map(({ message }) => message).join('\n')).toContain('stopped answering');
  });

  it('counts anew after the IDE was well for long', async () => {
    const { pass, scene, phases } = makeScene();
    for (let life = 0; life < 10; life += 1) {
      await pass(400_000);
      scene.ended = 'died of SIGKILL';
      await pass(10_000);
    }

    expect(phases()).not.toContain('Failed');
    expect(scene.launches).toBe(11);
  });
});
