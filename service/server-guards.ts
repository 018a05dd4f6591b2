import type { Response } from 'express';
import type { Gateway } from './gateway/gateway.ts';
import { bearerOf, missingToken, type Caller, type Identity } from './identity/identity.ts';
import { featureOff, type Flag, type Flags } from './platform/flags.ts';
import type { Guard } from './platform/http.ts';
import type { GuardFunction } from './platform/web-server.ts';

/** What stands before each kind of route; who is calling is left on `response.locals`. */
export const makeGuards = (
  identity: Identity,
  gateway: Pick<Gateway, 'authenticate'>,
  /** Of git's routes alone: the token of a bridge opens nothing else. */
  gitIdentity: Gateway['authenticate'] = gateway.authenticate,
): Readonly<Record<Guard, GuardFunction>> => ({
  open: () => Promise.resolve(),
  // The route itself asks Coder whether the proof fits.
  proof: () => Promise.resolve(),
  user: async (request, response) => {
    const caller = await identity.authenticate(request, response);
    response.locals['caller'] = caller;
    response.locals['actor'] = caller.actor;
  },
  task: async (request, response) => {
    const token = bearerOf(request);
    if (token === undefined) throw missingToken();
    const authenticate = request.path.startsWith('/git/') ? gitIdentity : gateway.authenticate;
    response.locals['task'] = await authenticate(token);
  },
});

/** Who shows no organization is asked for nothing but that the flag is on somewhere; the room knows the rest. */
export const makeMustBeOn =
  (flags: Flags) =>
  (flag: Flag, response: Response): void => {
    const caller = response.locals['caller'] as Caller | undefined;
    if (!flags.isOnInAny(flag, caller?.actor.organizationIds ?? null)) throw featureOff(flag);
  };
