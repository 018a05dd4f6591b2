import type { TaskEvent } from '../../../modules/contract.ts';

/** Asks the service as one person. Anything but 2xx throws with the problem's own words. */
export interface Api {
  get<Body>(path: string): Promise<Body>;
  post<Body>(path: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<Body>;
  /** The events of a task from `afterSeq` on; ends when the task does or the connection breaks. */
  events(taskId: string, afterSeq: number, signal?: AbortSignal): AsyncGenerator<TaskEvent>;
}

export function makeApi(url: () => string, token: string): Api {
  const headers = { 'Coder-Session-Token': token };
  async function ask<Body>(path: string, init: RequestInit): Promise<Body> {
    const response = await fetch(url() + path, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${path}: ${response.status} ${text.slice(0, 500)}`);
    return JSON.parse(text) as Body;
  }
  return {
    get: (path) => ask(path, { headers }),
    post: (path, body, extra = {}) =>
      ask(path, {
        method: 'POST',
        headers: { ...headers, 'Content-Type': 'application/json', ...extra },
        body: JSON.stringify(body),
      }),
    async *events(taskId, afterSeq, signal) {
      const response = await fetch(`${url()}/api/v2/agents/tasks/${taskId}/events`, {
        headers: { ...headers, 'Last-Event-ID': String(afterSeq) },
        signal: signal ?? null,
      });
      if (!response.ok || !response.body) throw new Error(`events of ${taskId}: ${response.status}`);
      let buffered = '';
      const decoder = new TextDecoder();
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        buffered += decoder.decode(chunk, { stream: true });
        for (let end = buffered.indexOf('\n\n'); end >= 0; end = buffered.indexOf('\n\n')) {
          const data = buffered
            .slice(0, end)
            .split('\n')
            .filter((line) => line.startsWith('data:'))
            .map((line) => line.slice(5))
            .join('\n');
          buffered = buffered.slice(end + 2);
          if (data.trim() !== '') yield JSON.parse(data) as TaskEvent;
        }
      }
    },
  };
}
