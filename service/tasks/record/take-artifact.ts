import { artifactBounds, type BridgeRequests } from '../../../modules/contract.ts';
import type { BridgeIdentity } from '../../bridge/bridge.ts';
import type { Transaction } from '../../platform/database.ts';
import { ServiceError } from '../../platform/errors.ts';
import { fencedOff, lockHeld, type LeaseParts } from '../held-attempt.ts';
import { addChunk, beginUpload, completeUpload, dropArtifact, standOf, sumOf, type Upload } from './artifact-store.ts';
import { appendReported } from './reported.ts';

type Piece = BridgeRequests['artifact']['payload'];
type Taken = BridgeRequests['artifact']['data'];

/**
 * Takes a piece of a file that a running attempt left; the last piece makes it the task's file of that name.
 *
 * Again    a piece that came before changes nothing; a file of the same name and digest is not taken twice.
 * Errors   `conflict` for an attempt that is not this bridge's, and where the bytes are not those announced;
 *          `unprocessable` above the bounds of a task.
 */
export async function takeArtifact(parts: LeaseParts, bridge: BridgeIdentity, piece: Piece): Promise<Taken> {
  const taken = await parts.database.transaction(async (tx): Promise<Taken | 'corrupt'> => {
    const current = await lockHeld(tx, parts, bridge, piece);
    if (!current) throw fencedOff(piece);
    const { whole, upload: open } = await standOf(tx, piece.task_id, piece.name);
    if (whole?.sha256 === piece.sha256) return { received: whole.bytes, complete: true };
    const isSame = open?.sha256 === piece.sha256 && open.bytes === piece.bytes;
    if (open && !isSame) await dropArtifact(tx, open.id);
    const upload = open && isSame ? open : await begin(tx, parts, piece);
    return takePiece(tx, parts, piece, upload);
  });
  if (taken === 'corrupt') throw notAsAnnounced(piece);
  return taken;
}

async function begin(tx: Transaction, { clock }: LeaseParts, piece: Piece): Promise<Upload> {
  const others = await sumOf(tx, piece.task_id, piece.name);
  if (others.files >= artifactBounds.files || others.bytes + piece.bytes > artifactBounds.allBytes)
    throw new ServiceError(
      'unprocessable',
      'artifacts_full',
      `A task keeps at most ${artifactBounds.files} files of ${artifactBounds.allBytes / 1024 / 1024} MiB together; '${piece.name}' is one too many.`,
    );
  const { task_id: taskId, attempt, name, bytes, sha256 } = piece;
  return beginUpload(tx, clock, { taskId, attempt, name, bytes, sha256 });
}

async function takePiece(
  tx: Transaction,
  { clock }: LeaseParts,
  piece: Piece,
  upload: Upload,
): Promise<Taken | 'corrupt'> {
  const data = Buffer.from(piece.data, 'base64');
  const isNext = piece.offset === upload.received && data.length > 0;
  if (isNext && upload.received + data.length > piece.bytes) {
    await dropArtifact(tx, upload.id);
    return 'corrupt';
  }
  const { received } = isNext ? await addChunk(tx, upload, data) : upload;
  if (received < piece.bytes) return { received, complete: false };
  if (!(await completeUpload(tx, clock.now(), upload.id))) return 'corrupt';
  const { task_id: taskId, attempt, name, bytes, sha256 } = piece;
  // Bounded like what a bridge reports: it may send another file of this name for ever.
  await appendReported(tx, {
    taskId,
    attempt,
    type: 'artifact.stored',
    at: clock.now(),
    data: { artifact_id: upload.id, name, bytes, sha256 },
  });
  return { received, complete: true };
}

const notAsAnnounced = ({ name }: Piece): ServiceError =>
  new ServiceError(
    'conflict',
    'artifact_corrupt',
    `The bytes of '${name}' are not those that were announced; it was dropped. Send it again from the first byte.`,
  );
