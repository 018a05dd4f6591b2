import type { z } from 'zod';
import type { Route } from '../../service/platform/http.ts';

interface Heard {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Throws where an answer is not what the API document says of its route. Refusals have one shape everywhere. */
export function checkShape(routes: readonly Route[], method: string, path: string, heard: Heard): void {
  if (heard.status >= 400) return;
  const route = routes.find(
    (one) => one.method === method.toLowerCase() && matches(one.path, path.split('?')[0] ?? ''),
  );
  if (route?.shape === undefined) return;
  if (heard.status === 200 && route.shape.otherTypes?.some((type) => typeOf(heard).startsWith(type))) return;
  const fault = faultOf(route.shape.answers[heard.status], heard);
  if (fault !== null)
    throw new Error(`${method} ${route.path} answered ${heard.status}, and the API document says otherwise: ${fault}`);
}

const typeOf = ({ headers }: Heard): string => headers.get('content-type') ?? '';

function faultOf(shape: z.ZodType | string | null | undefined, heard: Heard): string | null {
  const { text } = heard;
  const type = typeOf(heard);
  if (shape === undefined) return 'it does not know that status';
  if (shape === null) return text === '' ? null : 'nothing should follow the headers';
  if (typeof shape === 'string') return type.startsWith(shape) ? null : `it should be ${shape}, not ${type}`;
  if (!type.includes('json')) return `it should be JSON, not ${type}`;
  const { error } = shape.safeParse(JSON.parse(text));
  return error ? error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') : null;
}

const matches = (template: string, path: string): boolean =>
  new RegExp(`^${template.replace(/\*\w+/g, '.+').replace(/:\w+/g, '[^/]+')}$`).test(path);
