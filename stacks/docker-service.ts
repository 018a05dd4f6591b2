import { Container } from '@cdktf/provider-docker/lib/container/index.js';
import { Network } from '@cdktf/provider-docker/lib/network/index.js';
import { DockerProvider } from '@cdktf/provider-docker/lib/provider/index.js';
import { Volume } from '@cdktf/provider-docker/lib/volume/index.js';
import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import { hardened } from '../modules/docker/hardening.ts';
import { interpolation } from '../modules/hcl/expressions.ts';
import { DeployableStack } from '../modules/service/deployable-stack.ts';
import { secretsDirectory, serviceSecrets, variableOf } from '../modules/service/service-secrets.ts';
import {
  dataVolume,
  readinessCommand,
  serviceEnvironment,
  servicePort,
  serviceVariables,
} from '../modules/service/service-variables.ts';
import type { StateBackend } from '../modules/service/state-backend.ts';
import { optionalText, rule, variable, wholeNumber } from '../modules/workspace/variable.ts';

/** The service as one hardened container on a Docker host, with its own Postgres on a volume or with yours. */
export class DockerService extends DeployableStack {
  constructor(scope: Construct, id: string, backend: StateBackend) {
    super(scope, id, backend);
    this.requireProvider('docker', 'kreuzwerker/docker', '~> 3.6');
    serviceVariables(this);
    dockerVariables(this);
    new DockerProvider(this, 'provider:docker', {
      host: interpolation('var.docker_host == "" ? null : var.docker_host'),
    });

    const network = new Network(this, 'network:service', { name: interpolation('var.name'), driver: 'bridge' });
    const data = keptVolume(this, 'data');
    const secrets = keptVolume(this, 'secrets');
    const carrier = secretsCarrier(this, secrets);
    const service = new Container(this, 'container:service', {
      ...hardened,
      name: interpolation('var.name'),
      image: interpolation('var.service_image'),
      // Nothing else looks after it, unlike a workspace, whose life is Coder's.
      restart: 'unless-stopped',
      readOnly: true,
      init: true,
      memory: Token.asNumber(interpolation('var.memory_mb')),
      memorySwap: Token.asNumber(interpolation('var.memory_mb')),
      cpus: interpolation('tostring(var.cpus)'),
      tmpfs: { '/tmp': 'rw,noexec,nosuid,nodev,size=256m,mode=1777' },
      env: environment(),
      mounts: [
        { type: 'volume', source: data.name, target: dataVolume },
        { type: 'volume', source: secrets.name, target: secretsDirectory, readOnly: true },
      ],
      healthcheck: {
        test: ['CMD', ...readinessCommand],
        interval: '10s',
        timeout: '5s',
        startPeriod: '2m0s',
        retries: 3,
      },
      // The apply ends when the service serves, or fails.
      wait: true,
      waitTimeout: 180,
      logDriver: 'json-file',
      logOpts: { 'max-size': '10m', 'max-file': '3' },
      // The service drains for at most 20 s.
      stopTimeout: 30,
      destroyGraceSeconds: 30,
      dependsOn: [carrier],
      // The service reads its secrets only when it starts.
      lifecycle: { replaceTriggeredBy: ['docker_container.secrets'] },
    });
    service.addOverride('networks_advanced', [{ name: network.name }]);
    service.addOverride('dynamic', {
      networks_advanced: [{ for_each: '${var.extra_networks}', content: { name: '${networks_advanced.value}' } }],
      ports: [publishedPort()],
    });
  }
}

/**
 * A container that never starts: through it the files reach the volume.
 *
 * The provider uploads to `/`, volumes included, and Docker refuses that where the root is read-only, as the service's is.
 */
function secretsCarrier(scope: Construct, secrets: Volume): Container {
  const carrier = new Container(scope, 'container:secrets', {
    ...hardened,
    name: interpolation('"${var.name}-secrets"'),
    image: interpolation('var.service_image'),
    start: false,
    mustRun: false,
    networkMode: 'none',
    memory: 16,
    memorySwap: 16,
    cpus: '0.1',
    mounts: [{ type: 'volume', source: secrets.name, target: secretsDirectory }],
  });
  carrier.addOverride('dynamic', { upload: [secretFile()] });
  return carrier;
}

/** A volume that no change of this stack replaces: only its deletion takes what is in it. */
function keptVolume(scope: Construct, part: string): Volume {
  return new Volume(scope, `volume:${part}`, {
    name: `\${var.name}-${part}`,
    driver: 'local',
    lifecycle: { ignoreChanges: 'all' },
  });
}

function dockerVariables(scope: Construct): void {
  variable(scope, 'name', {
    description: 'Name of the container and its network, and the beginning of the names of its volumes.',
    type: 'string',
    default: 'outrigger',
    validation: [
      rule(
        'can(regex("^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", var.name))',
        'Use letters, digits, "_", "." and "-", beginning with a letter or digit, such as "outrigger".',
      ),
    ],
  });
  optionalText(scope, 'docker_host', 'Address of the Docker daemon, such as "ssh://user@host"; empty: the local one.');
  wholeNumber(scope, 'cpus', 'CPU cores of the service.', 2, [1, 256]);
  wholeNumber(scope, 'publish_port', 'Port of the host that leads to the service; 0: none.', 0, [0, 65_535]);
  variable(scope, 'publish_address', {
    description: 'Address of the host on which the port is published; put a proxy with TLS in front of any other.',
    type: 'string',
    default: '127.0.0.1',
  });
  variable(scope, 'extra_networks', {
    description: 'Docker networks that the service joins as well, such as the one of a Coder or a proxy beside it.',
    type: 'set(string)',
    default: [],
  });
}

function environment(): string[] {
  const paths = serviceEnvironment(
    (secret) => `\${var.${variableOf(secret)} == "" ? "" : "${secretsDirectory}/${secret.file}"}`,
  );
  return Object.entries(paths).map(([name, value]) => `${name}=${value}`);
}

function publishedPort(): object {
  return {
    for_each: '${var.publish_port == 0 ? [] : [var.publish_port]}',
    content: {
      internal: servicePort,
      external: '${ports.value}',
      ip: '${var.publish_address}',
    },
  };
}

/**
 * One file for each secret that was given. They belong to root's group, as the service does.
 *
 * What `source` names stays out of the state, and so does any hash of it.
 */
function secretFile(): object {
  const paths = serviceSecrets.map((secret) => `"${secret.file}" = var.${variableOf(secret)}`);
  return {
    for_each: `\${{ for name, path in { ${paths.join(', ')} } : name => path if path != "" }}`,
    content: {
      file: `${secretsDirectory}/\${upload.key}`,
      source: '${upload.value}',
      source_hash: '${tostring(var.secrets_revision)}',
      permissions: '0440',
    },
  };
}
