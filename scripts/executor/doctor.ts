import Table from 'cli-table3';
import type { Engine } from '../images/settings.ts';
import { inspectImage } from './engine.ts';
import { probeImage } from './probe.ts';
import { arbitraryUser, configRules, contentRules, usualUser, type Check, type Findings } from './rules.ts';

export interface Diagnosis {
  readonly image: string;
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

/**
 * Checks an executor image against every rule of executors, by running it.
 *
 * Errors  exit code 2 where the engine or the image is missing.
 */
export async function diagnose(engine: Engine, image: string): Promise<Diagnosis> {
  const config = await inspectImage(engine, image);
  const [usual, arbitrary, root] = [
    await probeImage(engine, image, usualUser),
    await probeImage(engine, image, arbitraryUser),
    await probeImage(engine, image, '0:0'),
  ];
  return judge(image, { config, usual, arbitrary, root });
}

/** The rules alone, on what was seen. */
export function judge(image: string, findings: Findings): Diagnosis {
  const checks = configRules.map((rule) => rule(findings));
  if (findings.usual.has('probe')) checks.push(...contentRules.map((rule) => rule(findings)));
  else checks.push(noShell);
  return { image, ok: checks.every(({ ok }) => ok), checks };
}

const noShell: Check = {
  name: 'sh',
  ok: false,
  found: 'no sh in PATH that user 1000:0 can run, so nothing further was looked at',
  remedy: 'Build on an image with a shell, such as debian:bookworm-slim, instead of a distroless one.',
};

/** What a person reads: each check on its line, what to do below, the verdict last. */
export function formatDiagnosis({ image, ok, checks }: Diagnosis): string {
  const table = new Table({ head: ['', 'check', 'found'], style: { head: [], border: [] } });
  for (const check of checks) table.push([check.ok ? 'ok' : 'NO', check.name, check.found]);
  const wrong = checks.filter((check) => !check.ok);
  return [
    table.toString(),
    ...wrong.map(({ name, remedy }) => `${name}: ${remedy ?? ''}`),
    ok
      ? `${image} keeps every rule of executors.`
      : `${image} breaks ${wrong.length} of ${checks.length} rules; what to do is above.`,
  ].join('\n');
}
