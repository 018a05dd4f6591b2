import { DockerProvider } from '@cdktf/provider-docker/lib/provider/index.js';
import type { Construct } from 'constructs';
import { egressPort, names } from '../modules/contract.ts';
import { dockerWorkspace } from '../modules/docker/docker-workspace.ts';
import { explain } from '../modules/hcl/comment.ts';
import { interpolation } from '../modules/hcl/expressions.ts';
import { CoderProvider } from '../modules/providers/generated/coder/provider/index.ts';
import { declareEgress, egressVariables } from '../modules/workspace/egress-variables.ts';
import { TemplateStack } from '../modules/workspace/template-stack.ts';
import { flag, optionalText, rule, variable } from '../modules/workspace/variable.ts';
import { standardSizes, type TemplateOptions } from './template-options.ts';
import { workspace } from './workspace.ts';

/** Workspaces as containers on a Docker host: a worker for the person and a sidecar for the agent. */
export class DockerTemplate extends TemplateStack {
  constructor(scope: Construct, id: string, { defaults = {} }: TemplateOptions = {}) {
    super(scope, id);
    this.addOverride('terraform.required_version', '>= 1.11');
    this.addOverride('terraform.required_providers.coder', { source: 'coder/coder', version: '~> 2.16' });
    this.addOverride('terraform.required_providers.docker', { source: 'kreuzwerker/docker', version: '~> 3.6' });
    new CoderProvider(this, 'provider:coder');
    const docker = new DockerProvider(this, 'provider:docker', {
      host: interpolation('var.docker_host == "" ? null : var.docker_host'),
    });
    // Without more than an address the provider reads the provisioner's own login, so no password is in a state.
    docker.addOverride('dynamic.registry_auth', [
      { for_each: interpolation('var.registries'), content: { address: '${registry_auth.value}' } },
    ]);

    const { leastMemoryMb, defaults: standard, ...most } = standardSizes;
    const parts = workspace(this, {
      admin: { maxProfile: 'ask', sizes: { leastMemoryMb, ...most } },
      form: { leastMemoryMb, defaults: { ...standard, ...defaults }, diskWhen: 'var.disk_quota' },
      startScript: reachesTheHost,
      coderUrl: reachesTheHost,
    });
    this.addVariables();
    egressVariables(this);
    declareEgress(this, `"http://${names.containers.egress}:${String(egressPort)}"`, parts.choices.repository);
    dockerWorkspace(this, parts);
  }

  private addVariables(): void {
    const host = optionalText(
      this,
      'docker_host',
      'Address of the Docker daemon, such as "ssh://user@host"; empty is the one beside the provisioner.',
    );
    explain(host, 'The Docker host.');
    variable(this, 'registries', {
      description:
        'Registries that want a login, such as "registry.example.com". The provisioner\'s own is used: "docker login" there.',
      type: 'list(string)',
      default: [],
      validation: [
        rule(
          'alltrue([for host in var.registries : can(regex("^[a-z0-9.-]+(:[0-9]+)?$", host))])',
          'Name each by its host alone, such as "registry.example.com" or "registry.example.com:5000".',
        ),
      ],
    });
    variable(this, 'container_runtime', {
      description: 'What runs the containers: a runtime that the Docker daemon knows by this name, such as "runsc".',
      type: 'string',
      default: 'runc',
      validation: [
        rule(
          'can(regex("^[a-z0-9][a-z0-9._-]*$", var.container_runtime))',
          'Give the name of a runtime of the Docker daemon, such as "runc" or "sysbox-runc".',
        ),
      ],
    });
    variable(this, 'egress_network', {
      description: 'Docker network through which the proxies of workspaces reach the outside.',
      type: 'string',
      default: 'bridge',
      validation: [
        rule(
          'can(regex("^[A-Za-z0-9][A-Za-z0-9_.-]*$", var.egress_network)) && !contains(["host", "none"], var.egress_network)',
          'Give the name of a network of the Docker daemon, such as "bridge"; "host" is none.',
        ),
      ],
    });
    flag(
      this,
      'disk_quota',
      "Whether Docker's filesystem has project quotas (xfs with pquota), so that disks have a size.",
    );
  }
}

/**
 * Coder's start script, or its address. A deployment on this very machine calls itself localhost, which inside a container is the
 * container: the host's name takes its place.
 */
function reachesTheHost(text: string): string {
  return `replace(${text}, "/localhost|127\\\\.0\\\\.0\\\\.1/", "host.docker.internal")`;
}
