import { z } from 'zod';
import { egressEntryPattern } from '../../modules/contract.ts';

/**
 * Suffixes below which anybody gets a name of their own. A star in front of one would let in whoever asks for a name
 * there. The whole list is that of publicsuffix.org; these are the ones that people meet, and an admin sees each entry.
 */
const shared: ReadonlySet<string> = new Set([
  ...['co.uk', 'org.uk', 'com.au', 'com.br', 'co.jp', 'co.in', 'com.cn'],
  ...['github.io', 'githubusercontent.com', 'gitlab.io', 'pages.dev', 'workers.dev', 'vercel.app', 'netlify.app'],
  ...['herokuapp.com', 'web.app', 'firebaseapp.com', 'appspot.com', 'run.app', 'cloudfront.net', 'amazonaws.com'],
  ...['s3.amazonaws.com', 'azurewebsites.net', 'blob.core.windows.net', 'windows.net', 'r2.dev', 'fly.dev'],
  ...['ngrok.io', 'ngrok.app', 'ngrok-free.app', 'trycloudflare.com', 'blogspot.com', 'nip.io', 'sslip.io'],
]);

/** One entry of a list as a person gives it. */
export const egressEntry = z
  .string()
  .max(260)
  .transform((text) => text.trim().toLowerCase())
  .refine(
    (text) => new RegExp(egressEntryPattern).test(text) && !/(^|\.)(\d+|0x[0-9a-f]*)(:\d+)?$/.test(text),
    'Give a name, such as "example.com", "*.example.com" or "example.com:8443". Addresses are not reached.',
  )
  .refine((text) => Number(/:(\d+)$/.exec(text)?.[1] ?? 0) <= 65_535, 'Ports end at 65535.')
  .refine((text) => !isTooWide(text), 'Below that, anybody can have a name. Give the name itself, without the star.');

function isTooWide(text: string): boolean {
  if (!text.startsWith('*.')) return false;
  const suffix = text.slice(2).replace(/:\d+$/, '');
  return !suffix.includes('.') || shared.has(suffix);
}
