/** The part of Bun's FFI that `system.ts` uses; the bridge's runtime provides it. */
declare module 'bun:ffi' {
  export function dlopen(
    name: string,
    symbols: Record<string, { readonly args: readonly string[]; readonly returns: string }>,
  ): { readonly symbols: Record<string, (...values: (number | null | Uint8Array)[]) => number> };
  export const read: { i32(address: number): number };
}
