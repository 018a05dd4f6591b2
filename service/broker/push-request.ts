import { ServiceError } from '../platform/errors.ts';
import { MalformedPacket, readPacket } from './pkt-line.ts';

/** One branch that a push wants to move. An id of zeros stands for "is not there". */
export interface RefCommand {
  readonly old: string;
  readonly new: string;
  readonly ref: string;
}

/** What stands in front of the pack. Source: gitprotocol-pack(5), "Reference Update Request". */
export interface PushRequest {
  readonly commands: readonly RefCommand[];
  /** What the client understands, such as `report-status` and `side-band-64k`. */
  readonly capabilities: ReadonlySet<string>;
  /** The bytes it was read from, to be sent on as they are. */
  readonly head: Buffer;
  /** The bytes that came with it and belong to the pack. */
  readonly rest: Buffer;
}

export const isZero = (id: string): boolean => /^0+$/.test(id);

/** A push of an agent moves one branch; a mirror of a repository moves thousands. */
const mostCommands = 20;
const mostShallowLines = 10_000;
const longestHead = 1024 * 1024;

const commandPattern = /^([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) ([^\0\n]{1,255})$/;
const shallowPattern = /^shallow (?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/**
 * Reads a push up to the end of its command list, and not a byte of its pack.
 *
 * Errors   `invalid` for anything that is not plainly such a list. A signed push and push options are refused: their
 *          commands would stand where nobody here looks, and options can make a forge merge.
 */
export async function readPushRequest(body: AsyncIterator<Buffer>): Promise<PushRequest> {
  const reader = makeHeadReader();
  let bytes: Buffer = Buffer.alloc(0);
  for (;;) {
    const piece = await body.next();
    if (piece.done === true) throw malformed('it ends inside its list of commands');
    bytes = Buffer.concat([bytes, piece.value]);
    const found = reader.read(bytes);
    if (found !== null) return found;
    if (bytes.length > longestHead) throw malformed('its list of commands is too long');
  }
}

function makeHeadReader() {
  const commands: RefCommand[] = [];
  let capabilities: ReadonlySet<string> = new Set();
  let shallowLines = 0;
  let at = 0;

  const take = (line: Buffer): void => {
    const [text = '', given] = line.toString('utf8').replace(/\n$/, '').split('\0');
    if (shallowPattern.test(text) && given === undefined && commands.length === 0) {
      shallowLines += 1;
      if (shallowLines > mostShallowLines) throw malformed('it names too many shallow commits');
      return;
    }
    const [, old, next, ref] = commandPattern.exec(text) ?? [];
    if (old === undefined || next === undefined || ref === undefined || old.length !== next.length)
      throw malformed('it holds something other than plain commands. Push without --signed');
    if (given !== undefined && commands.length > 0) throw malformed('it names its capabilities twice');
    if (given !== undefined) capabilities = new Set(given.trim().split(' '));
    commands.push({ old, new: next, ref });
    if (commands.length > mostCommands) throw malformed(`it moves more than ${mostCommands} branches`);
  };

  return {
    /** Goes on where it stopped; null until the list has ended. */
    read(bytes: Buffer): PushRequest | null {
      try {
        for (let next = readPacket(bytes, at); next !== null; next = readPacket(bytes, at)) {
          at = next.end;
          if (next.packet === 'flush') {
            refuseOptions(capabilities);
            return { commands, capabilities, head: bytes.subarray(0, at), rest: bytes.subarray(at) };
          }
          take(next.packet);
        }
        return null;
      } catch (error) {
        throw error instanceof MalformedPacket ? malformed(error.message) : error;
      }
    },
  };
}

function refuseOptions(capabilities: ReadonlySet<string>): void {
  if (capabilities.has('push-options')) throw malformed('it has push options. Push without -o');
}

const malformed = (why: string): ServiceError =>
  new ServiceError('invalid', 'git_push_malformed', `The push cannot be passed on: ${why}.`);
