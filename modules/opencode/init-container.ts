import { bridgeEnvironment, names, paths } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { ContainerSpec } from '../workspace/container.ts';

/** Fills `/tools` and the admin's certificates, gives empty volumes their owner, then ends. */
export function initContainer(): ContainerSpec {
  return {
    name: names.containers.init,
    image: interpolation('var.opencode_image'),
    command: ['/opt/outrigger/init.sh'],
    environment: {
      [bridgeEnvironment.toolsDir]: paths.tools,
      [bridgeEnvironment.workspaceDir]: paths.workspace,
      OUTRIGGER_CUSTOM_CA_BASE64: interpolation('base64encode(var.custom_ca)'),
    },
    secrets: {},
    limits: { cpu: '1', memoryMb: '256' },
    requests: { cpu: '0.1', memoryMb: '64' },
    mounts: [
      { volume: 'tools' },
      { volume: 'custom-ca' },
      { volume: 'home' },
      { volume: 'workspace' },
      { volume: 'agent' },
      { volume: 'nix' },
    ],
    workingDir: '/',
    graceSeconds: 30,
    isRootReadOnly: true,
    hasInit: false,
  };
}
