import { afterEach, describe, expect, it } from '@jest/globals';
import { makeWorld, type World } from '../support/world/world.ts';

/** How many lives are lived; `WORLD_LIVES=2000` for a long look, `WORLD_SEED` repeats one. */
const lives = Number(process.env['WORLD_LIVES'] ?? 6);
const only = process.env['WORLD_SEED'];
const first = Number(process.env['WORLD_FIRST'] ?? 1);
const seeds = only === undefined ? Array.from({ length: lives }, (_one, index) => first + index) : [Number(only)];

let world: World;
afterEach(() => world.close());

describe('a world of one seed: clock, network and crashes over the rules and the engine', () => {
  it(
    'ends every workflow as the rules say: nothing lost, nothing stuck, nothing done twice',
    async () => {
      world = await makeWorld();
      for (const seed of seeds) expect((await world.live(seed)).length).toBeGreaterThan(1);
    },
    120_000 + seeds.length * 30_000,
  );

  it('lives the same life again by its seed', async () => {
    world = await makeWorld();

    expect(await world.live(7)).toEqual(await world.live(7));
  }, 180_000);

  it('says by which seed a rule was broken: here, that a result that was taken is kept', async () => {
    world = await makeWorld((room) => ({
      ...room,
      handlers: { ...room.handlers, result: () => Promise.resolve({ accepted: true }) },
    }));

    await expect(world.live(2)).rejects.toThrow(/^Seed 2: .*the result of .*\nRepeat it with WORLD_SEED=2\./s);
  }, 180_000);
});
