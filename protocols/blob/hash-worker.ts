/** The thread of hash-thread.ts. */
import { createHash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { BLOB_CHUNK_BYTES } from '../limits.ts'
import type { HashOrder, HashReply } from './hash-thread.ts'

const slots = workerData as SharedArrayBuffer
const hash = createHash('sha256')

parentPort?.on('message', (order: HashOrder) => {
  if (order === 'digest') {
    parentPort?.postMessage(hash.digest('hex') satisfies HashReply)
    return
  }
  hash.update(new Uint8Array(slots, order.slot * BLOB_CHUNK_BYTES, order.bytes))
  parentPort?.postMessage(order.slot satisfies HashReply)
})
