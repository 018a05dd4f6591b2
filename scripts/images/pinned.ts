import { digestPattern } from '../../modules/contract.ts';

/** An image with its whole digest, and nothing behind it. */
export const pinned = new RegExp(`^[^\\s@]+${digestPattern}$`);
export const isPinned = (image: string): boolean => pinned.test(image);
