import { z } from 'zod';

/** What a credential for git may say of where and for what it is used. */
export const gitFields = {
  /** Where it is shown, and nowhere else; well-known names need none. */
  host: z
    .string()
    .max(260)
    .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$/, 'must be a host name, such as git.example.com')
    .optional(),
  /** The name beside it; many hosts take any. */
  username: z
    .string()
    .regex(/^[A-Za-z0-9_.@+-]{1,100}$/, 'must be a plain user name, such as x-access-token')
    .optional(),
  /** Left out, every repository that a workspace was built for. */
  repositories: z
    .array(
      z
        .string()
        .max(500)
        .regex(/^[A-Za-z0-9_.~-]+(\/[A-Za-z0-9_.~-]+)*(\/\*)?$/, 'must be a path, such as acme/app or acme/*'),
    )
    .min(1)
    .max(200)
    .optional(),
  /** Branches that may be pushed; left out, `agent/*`. */
  branches: z
    .array(
      z
        .string()
        .max(200)
        .regex(/^[A-Za-z0-9_][A-Za-z0-9._/-]*\*?$/, 'must be a branch, such as release or agent/*'),
    )
    .min(1)
    .max(50)
    .optional(),
};
