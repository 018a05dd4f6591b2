import { DockerProvider } from '@cdktf/provider-docker/lib/provider/index.js';
import { TerraformVariable } from 'cdktf';
import type { Construct } from 'constructs';
import { DockerWorkspace } from '../modules/docker/docker-workspace.ts';
import { interpolation } from '../modules/hcl/expressions.ts';
import { OpenCodeSidecar } from '../modules/opencode/sidecar.ts';
import { CoderProvider } from '../modules/providers/generated/coder/provider/index.ts';
import { AdminVariables } from '../modules/workspace/admin-variables.ts';
import { openCodeApp } from '../modules/workspace/apps.ts';
import { cloneRepository } from '../modules/workspace/clone-repository.ts';
import { WorkspaceParameters } from '../modules/workspace/parameters.ts';
import { TemplateStack } from '../modules/workspace/template-stack.ts';
import { workspaceAgent } from '../modules/workspace/workspace-agent.ts';
import { WorkspaceContext } from '../modules/workspace/workspace-context.ts';

/** Workspaces as containers on a Docker host: a worker for the person and a sidecar for the agent. */
export class DockerTemplate extends TemplateStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    this.pinProviders();

    const variables = new AdminVariables(this);
    const dockerHost = new TerraformVariable(this, 'variable:docker_host', {
      description: 'Address of the Docker daemon, such as "ssh://user@host"; empty is the one beside the provisioner.',
      type: 'string',
      default: '',
    });
    const parameters = new WorkspaceParameters(this);

    new CoderProvider(this, 'provider:coder');
    new DockerProvider(this, 'provider:docker', {
      host: interpolation(`${dockerHost.fqn} == "" ? null : ${dockerHost.fqn}`),
    });

    const context = new WorkspaceContext(this);
    const agent = workspaceAgent(this, { context, arch: variables.arch });
    cloneRepository(this, agent, parameters);
    openCodeApp(this, agent);

    const workspace = new DockerWorkspace(this, { context, variables, parameters, agent });
    workspace.addSidecar(new OpenCodeSidecar());
  }

  private pinProviders(): void {
    this.addOverride('terraform.required_version', '>= 1.11');
    this.addOverride('terraform.required_providers.coder', { source: 'coder/coder', version: '~> 2.16' });
    this.addOverride('terraform.required_providers.docker', { source: 'kreuzwerker/docker', version: '~> 3.6' });
  }
}
