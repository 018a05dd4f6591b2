/** One WebSocket, as far as the link needs it. */
export interface Socket {
  send(text: string): void;
  close(reason: string): void;
}

export interface SocketListener {
  opened(socket: Socket): void;
  received(text: string): void;
  /** Called once, also for a socket that never opened. */
  closed(code: number): void;
}

/** The runtime's WebSocket takes headers, unlike a browser's. */
interface RuntimeSocket {
  readonly readyState: number;
  send(text: string): void;
  close(code: number, reason: string): void;
  terminate?(): void;
  addEventListener(type: string, listener: (event: { data?: unknown; code?: number }) => void): void;
}
type RuntimeSocketConstructor = new (
  url: string,
  options: { headers: Readonly<Record<string, string>>; proxy?: string },
) => RuntimeSocket;

/** 1006 is "abnormal closure"; no close frame ever carries it. */
const neverOpened = 1006;
const openMs = 20_000;
const isOpenState = 1;

/** `proxy` is an address, or null for none: unlike `fetch`, the runtime's WebSocket does not look for one itself. */
export function openSocket(url: string, token: string, proxy: string | null, listener: SocketListener): void {
  const { WebSocket: Constructor } = globalThis as unknown as { WebSocket: RuntimeSocketConstructor };
  const runtime = new Constructor(url, {
    headers: { authorization: `Bearer ${token}` },
    ...(proxy === null ? {} : { proxy }),
  });
  let isOver = false;
  let goodbye: NodeJS.Timeout | undefined;
  const over = (code: number): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    clearTimeout(goodbye);
    listener.closed(code);
  };
  const timer = setTimeout(() => {
    runtime.terminate?.();
    over(neverOpened);
  }, openMs);
  runtime.addEventListener('open', () => {
    clearTimeout(timer);
    listener.opened({
      send: (text) => {
        if (runtime.readyState === isOpenState) runtime.send(text);
      },
      close: (reason) => {
        runtime.close(1000, reason);
        // The other side may be gone for good; its goodbye is not waited for.
        clearTimeout(goodbye);
        goodbye = setTimeout(() => {
          runtime.terminate?.();
          over(neverOpened);
        }, 2_000);
      },
    });
  });
  runtime.addEventListener('message', ({ data }) => listener.received(String(data)));
  runtime.addEventListener('close', ({ code }) => over(code ?? neverOpened));
  runtime.addEventListener('error', () => undefined);
}
