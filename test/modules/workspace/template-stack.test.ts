import { Container } from '@cdktf/provider-docker/lib/container/index.js';
import { DockerProvider } from '@cdktf/provider-docker/lib/provider/index.js';
import { Volume } from '@cdktf/provider-docker/lib/volume/index.js';
import { describe, expect, it } from '@jest/globals';
import { App, Testing } from 'cdktf';
import { Construct } from 'constructs';
import { TemplateStack } from '../../../modules/workspace/template-stack.ts';

class OneOff extends TemplateStack {
  constructor(build: (stack: TemplateStack) => void) {
    super(Testing.stubVersion(new App({ outdir: '/nonexistent' })), 'one-off');
    new DockerProvider(this, 'provider:docker');
    build(this);
  }
}

const synthesize = (build: (stack: TemplateStack) => void) => new OneOff(build).toTerraform();
const volume = {
  name: 'coder-${data.coder_workspace.me.id}',
  lifecycle: { ignoreChanges: 'all' },
} as const;

describe('TemplateStack', () => {
  it('labels by the name in the construct id, without a hash, a comment or a backend', () => {
    const template = synthesize((stack) => {
      new Volume(new Construct(stack, 'part:a'), 'volume:home', volume);
    });

    expect(template.resource).toEqual({
      docker_volume: { 'a-home': { name: volume.name, lifecycle: { ignore_changes: 'all' } } },
    });
    expect(template.terraform).not.toHaveProperty('backend');
  });

  it('refuses two constructs with one address, which Terraform would merge silently', () => {
    const twins = (stack: TemplateStack): void => {
      new Volume(stack, 'volume:home', volume);
      new Volume(stack, 'other:home', volume);
    };

    expect(() => synthesize(twins)).toThrow(
      'one-off/other:home and one-off/volume:home both render as docker_volume.home',
    );
  });

  it('refuses what the policy refuses and names the construct path, overrides included', () => {
    const escape = (stack: TemplateStack): void => {
      new Volume(stack, 'volume:home', volume).addOverride('name', 'shared');
      new Container(new Construct(stack, 'helpers:'), 'container:risky', {
        name: 'x',
        image: 'debian:latest',
        privileged: true,
      });
    };

    expect(() => synthesize(escape)).toThrow(/one-off\/volume:home \(volume-name\)/);
    expect(() => synthesize(escape)).toThrow(/one-off\/helpers:\/container:risky \(privileged\)/);
  });
});
