import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { makeTestClock } from '../support/clock.ts';
import { databaseLooks } from '../../service/metrics/looks.ts';
import { makeMetrics } from '../../service/metrics/metrics.ts';

const root = join(import.meta.dirname, '..', '..');
const folder = join(root, 'service', 'metrics');
const fetched = spawnSync('sh', [join(root, 'scripts', 'fetch-promtool.sh')], { encoding: 'utf8' });
const promtool = fetched.status === 0 ? fetched.stdout.trim() : null;
const withPromtool = promtool === null ? describe.skip : describe;

withPromtool('S-102 the alert rules', () => {
  const run = (...argv: string[]): string =>
    execFileSync(promtool ?? '', argv, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });

  it('are rules that Prometheus takes', () => {
    expect(run('check', 'rules', 'prometheus-rules.yaml')).toContain('SUCCESS');
  });

  it('say each trouble with its number, and nothing of a service that is well', () => {
    expect(run('test', 'rules', 'prometheus-rules.test.yaml')).toContain('SUCCESS');
    const alerts = (file: string): string[] =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/(?:alert|alertname): (\w+)/g)].map(
        ([, name = '']) => name,
      );
    expect([...new Set(alerts('prometheus-rules.test.yaml'))].sort()).toEqual(alerts('prometheus-rules.yaml').sort());
  });
});

describe('what watches the service', () => {
  it('asks for metrics that there are', async () => {
    const metrics = makeMetrics();
    metrics.addLooks(
      [...databaseLooks({ as: () => undefined as never }, makeTestClock()), ...elsewhere].map((look) => ({
        ...look,
        read: () => 1,
      })),
    );
    const known = new Set([...(await metrics.text()).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name));

    for (const file of ['prometheus-rules.yaml', 'grafana-dashboard.json']) {
      const asked = [...readFileSync(join(folder, file), 'utf8').matchAll(/\boutrigger_\w+/g)].map(([name]) => name);
      const unknown = asked.filter((name) => !known.has(name.replace(/_(bucket|count|sum)$/, '')) && !known.has(name));
      expect([file, unknown]).toEqual([file, []]);
      expect(asked.length).toBeGreaterThan(8);
    }
  });
});

/** Looks that the composition root adds. */
const elsewhere = ['outrigger_secrets_overdue', 'outrigger_model_upstream_open'].map((name) => ({ name, help: name }));
