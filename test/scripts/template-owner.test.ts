import { describe, expect, it } from '@jest/globals';
import { refusePush } from '../../scripts/template-owner.ts';
import { catalogMessage } from '../../stacks/catalog-mark.ts';

describe('refusePush', () => {
  it('leaves a template to the catalog whose version is active', () => {
    expect(refusePush('docker', { message: catalogMessage })).toContain('cdktf deploy coder-catalog');
    expect(refusePush('docker', { message: `${catalogMessage}.` })).toContain('--take-over');
  });

  it.each([[undefined], [null], [''], ['Larger disks'], [`Instead of: ${catalogMessage}`]])(
    'lets a template be pushed whose version says %j',
    (message) => {
      expect(refusePush('docker', { message })).toBeUndefined();
    },
  );

  it('knows the mark although Coder keeps only 72 characters of a message', () => {
    expect(catalogMessage.length).toBeLessThanOrEqual(72);
  });
});
