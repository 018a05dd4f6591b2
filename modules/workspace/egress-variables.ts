import { TerraformLocal } from 'cdktf';
import type { Construct } from 'constructs';
import { egressEntryPattern, egressModes } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { expression, interpolation } from '../hcl/expressions.ts';
import { oneOf, rule, someOf, variable } from './variable.ts';

/** Hosts that come under one word. Only what a package manager asks; none of them takes uploads without a login. */
export const egressPresets = {
  npm: ['registry.npmjs.org', 'registry.yarnpkg.com'],
  pypi: ['pypi.org', 'files.pythonhosted.org'],
  crates: ['crates.io', 'index.crates.io', 'static.crates.io', 'static.rust-lang.org'],
  go: ['proxy.golang.org', 'sum.golang.org'],
  maven: ['repo.maven.apache.org', 'repo1.maven.org'],
  rubygems: ['rubygems.org', 'index.rubygems.org'],
  debian: ['deb.debian.org', 'security.debian.org'],
  ubuntu: ['archive.ubuntu.com', 'security.ubuntu.com', 'ports.ubuntu.com'],
  nix: ['cache.nixos.org', 'channels.nixos.org'],
  'open-vsx': ['open-vsx.org', '*.open-vsx.org'],
  github: ['github.com', 'api.github.com', 'codeload.github.com', '*.githubusercontent.com'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const usualPresets = ['npm', 'pypi', 'crates', 'go', 'debian', 'ubuntu', 'nix'];

/** Where programs find the way out: the variables of `networkEnvironment`, as `declareEgress` computes them. */
export const proxiedEnvironment: Readonly<Record<string, string>> = {
  HTTP_PROXY: interpolation('local.http_proxy'),
  HTTPS_PROXY: interpolation('local.https_proxy'),
  NO_PROXY: interpolation('local.no_proxy'),
  OUTRIGGER_EGRESS_PROXIED: interpolation('var.egress == "open" ? "" : "true"'),
};

/** What the admin says about the way out of a workspace. */
export function egressVariables(scope: Construct): void {
  const mode = oneOf(
    scope,
    'egress',
    'What workspaces may reach, besides Outrigger and Coder: what is listed here, nothing more, or everything',
    egressModes,
    'allowlist',
    [
      rule(
        'var.egress == "open" || (var.http_proxy == "" && var.https_proxy == "")',
        'Workspaces have a proxy of their own, which does not go through yours. Leave http_proxy and https_proxy empty, or set egress to "open" and keep the list in your proxy.',
      ),
    ],
  );
  explain(mode, 'The way out. It holds for the person as well as for the agent; docs/egress.md says what it stops.');
  variable(scope, 'egress_hosts', {
    description:
      'Hosts that workspaces may reach, "example.com", or "*.example.com" for what is below it, or either with ":port".',
    type: 'list(string)',
    default: [],
    validation: [
      rule(
        `alltrue([for host in var.egress_hosts : can(regex(${JSON.stringify(egressEntryPattern)}, host))])`,
        'Give names in lower case, such as "git.example.com", "*.example.com" or "git.example.com:8443".',
      ),
      rule(
        'alltrue([for host in var.egress_hosts : !can(regex("^[*][.][^.]*$", host))])',
        'A whole top-level domain is no list. Name what is below it, such as "*.example.com".',
      ),
    ],
  });
  someOf(
    scope,
    'egress_presets',
    'Registries that workspaces may reach',
    [...Object.keys(egressPresets), 'none'],
    usualPresets,
  );
  variable(scope, 'egress_repository', {
    description: 'Whether workspaces may reach the host of the repository that their owner chose.',
    type: 'bool',
    default: true,
  });
  variable(scope, 'egress_private_cidrs', {
    description:
      'Private networks in which a listed host may lie, such as "10.0.0.0/8"; Outrigger and Coder need not be in them.',
    type: 'list(string)',
    default: [],
    validation: [
      rule(
        'alltrue([for cidr in var.egress_private_cidrs : can(cidrhost(cidr, 0))])',
        'Give ranges such as "10.0.0.0/8".',
      ),
    ],
  });
}

/**
 * Declares what the containers are told: `local.http_proxy` and its like, and `local.egress_hosts`.
 *
 * `proxyUrl` and `repository` are HCL expressions of texts.
 */
export function declareEgress(scope: Construct, proxyUrl: string, repository: string): void {
  const local = (name: string, hcl: string): TerraformLocal =>
    new TerraformLocal(scope, `local:${name}`, expression(hcl));
  local('http_proxy', `var.egress == "open" ? var.http_proxy : ${proxyUrl}`);
  local('https_proxy', `var.egress == "open" ? var.https_proxy : ${proxyUrl}`);
  local('no_proxy', 'var.egress == "open" ? var.no_proxy : ""');
  new TerraformLocal(scope, 'local:egress_preset_hosts', { ...egressPresets, none: [] });
  // An owner names a host here, and never a star.
  const oneHost = JSON.stringify(egressEntryPattern.replace('([*][.])?', ''));
  const host = `[for host in try(regex("^https?://(?:[^/?#@]*@)?([^/?#@]+)", lower(${repository})), []) : host if var.egress_repository && can(regex(${oneHost}, host))]`;
  local(
    'egress_hosts',
    `distinct(concat(var.egress_hosts, flatten([for one in var.egress_presets : local.egress_preset_hosts[one]]), ${host}))`,
  );
}
