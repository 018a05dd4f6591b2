import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const given = process.env.OUTRIGGER_TEST_SERVICE_IMAGE;

/** Whether there is an image of the service, or time to make one: scripts/test-docker.sh gives it. */
export const hasServiceImage =
  process.env.OUTRIGGER_TEST_DOCKER === '1' && (given !== undefined || process.env.OUTRIGGER_TEST_DOCKER_ALL === '1');

/** OUTRIGGER_TEST_SERVICE_IMAGE, else one from the sources as they are, by the command that people use. */
export function serviceImage(): string {
  if (given !== undefined) return given;
  const settings = { AGENT: 'service', IMG_ORG: 'outrigger-service-test', VERSION: `test-${process.pid}` };
  const base = process.env.OUTRIGGER_TEST_BASE_IMAGE ?? 'outrigger-base:bookworm';
  const { status, stdout, stderr } = spawnSync('./run', ['build'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, ...settings, BASE_IMAGE: base, ALLOW_LOCAL_BASE: '1' },
  });
  if (status !== 0) throw new Error(`The image was not built:\n${stdout.slice(-2_000)}\n${stderr.slice(-2_000)}`);
  return `localhost/${settings.IMG_ORG}/outrigger-service:${settings.VERSION}`;
}

/** Takes away the name of an image that `serviceImage` made; Docker's build cache keeps the layers for the next run. */
export function removeServiceImage(image: string): void {
  if (image !== given) spawnSync('docker', ['image', 'rm', '--force', image]);
}
