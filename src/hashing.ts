/** Hashes of large buffers, for threads that others wait for. */
import { createHash } from 'node:crypto'
import { setImmediate as othersFirst } from 'node:timers/promises'

/** Some 5 ms each: 40 MB in one go take 35 ms of the thread, and with what comes before and after them more than a peer should notice. */
const PIECE_BYTES = 4 * 2 ** 20

/** sha-256 in hex. Whoever else waits for this thread has a turn after every piece; `bytes` must not change meanwhile. */
export async function sha256InPieces (bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (at > 0) await othersFirst()
    hash.update(bytes.subarray(at, at + PIECE_BYTES))
  }
  return hash.digest('hex')
}
