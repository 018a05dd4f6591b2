import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { openLab, whatIsMissing, type Lab } from './namespaces.ts';
import { tryEverything, whatGotOut, type Report } from './verdict.ts';

jest.setTimeout(180_000);
const missing = whatIsMissing();

(missing === null ? describe : describe.skip)(
  `a workspace against its list${missing === null ? '' : ` (${missing})`}`,
  () => {
    let lab: Lab;
    let report: Report;
    beforeAll(async () => {
      lab = await openLab({ isEnforced: true, mode: 'allowlist' });
      report = await tryEverything(lab);
    });
    afterAll(() => (lab as Lab | undefined)?.end());

    it('reaches the service, Coder and what the list allows', () => {
      expect(report.allowed.filter(({ works }) => !works)).toEqual([]);
    });

    it('gets out by none of more than sixty ways (part of D23)', () => {
      expect(report.tried.length).toBeGreaterThanOrEqual(60);
      expect(whatGotOut(report, lab)).toEqual([]);
    });

    it('leaves no trace at any forbidden place, and asks for no name that is not listed', () => {
      expect(lab.seen().filter(({ place }) => place.startsWith('forbidden'))).toEqual([]);
      expect(lab.seen().filter(({ place, seen }) => place === 'names' && seen.includes('evil'))).toEqual([]);
    });

    it('is told why, by name', () => {
      expect(lab.proxyLog()).toContain('refused (not_listed): evil.example:443');
      expect(lab.proxyLog()).toContain('refused (private_address): inside.allowed.example:80');
    });
  },
);

(missing === null ? describe : describe.skip)(
  `a workspace that stays local${missing === null ? '' : ` (${missing})`}`,
  () => {
    let lab: Lab;
    beforeAll(async () => {
      lab = await openLab({ isEnforced: true, mode: 'local-only' });
    });
    afterAll(() => (lab as Lab | undefined)?.end());

    it('reaches the service and Coder, and no host of the list (part of P-49 and D23)', async () => {
      const report = await tryEverything(lab, 'only-permitted');

      expect(report.allowed.filter(({ works }) => works).map(({ name }) => name)).toEqual([
        'a WebSocket in a plain tunnel',
        'the service',
        'Coder',
      ]);
      expect(lab.seen().filter(({ place, seen }) => place === 'names' && seen.includes('allowed.example'))).toEqual([]);
    });
  },
);

// The comparison is for people: scripts/test-egress.sh makes it and writes it down.
const atLength = missing === null && process.env['OUTRIGGER_TEST_EGRESS_ALL'] === '1';
(atLength ? describe : describe.skip)('a workspace that only has proxy variables', () => {
  it('gets out by many ways, so the list of ways can fail', async () => {
    const lab = await openLab({ isEnforced: false, mode: 'allowlist' });
    try {
      expect(whatGotOut(await tryEverything(lab), lab).length).toBeGreaterThanOrEqual(30);
    } finally {
      lab.end();
    }
  });
});
