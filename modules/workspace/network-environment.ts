import { paths } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';

/**
 * Proxy and certificates of the admin, for every container. An empty value counts as not set: `enter` removes it.
 *
 * Only one spelling is given; `enter` adds the other case and what must never go through a proxy.
 */
export function networkEnvironment(): Readonly<Record<string, string>> {
  return {
    CUSTOM_CA_CERT_PATH: `${paths.customCa}/tls.crt`,
    HTTP_PROXY: interpolation('var.http_proxy'),
    HTTPS_PROXY: interpolation('var.https_proxy'),
    NO_PROXY: interpolation('var.no_proxy'),
  };
}
