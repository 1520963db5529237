/** Delta announcement: contract <-> bytes. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { MAX_BLOB_BYTES, MAX_GOSSIP_BYTES, MAX_INLINE_BYTES, MAX_PEERS, MAX_TASKS, MAX_TENSOR_NAME_BYTES } from '../limits.ts'
import { amount, atMost, checked, hash, number, parse, text, whole } from '../wire.ts'
import * as pb from './messages.generated.ts'
import type { DeltaManifest } from '../../src/backbone/frames.ts'

export interface DeltaAnnouncement {
  readonly manifest: DeltaManifest
  /** The whole payload, when it is small enough to ride along. */
  readonly payload?: Uint8Array
}

const U32 = 0xffffffff
const CODECS: ReadonlySet<string> = new Set<DeltaManifest['codec']>(['f32', 'f16', 'bf16', 'int8'])

export function encodeDelta ({ manifest, payload }: DeltaAnnouncement): Uint8Array {
  return checked('a delta', () => {
    const { base, losses, ...rest } = manifest
    const message: pb.DeltaManifest = {
      ...rest,
      base: Object.entries(base).map(([key, value]) => ({ key, value })),
      losses: losses.map(loss => ({ ...loss, loss: Number.isNaN(loss.loss) ? Infinity : loss.loss }))
    }
    checkManifest(message)
    return pb.DeltaAnnouncement.encode({ manifest: message, ...(payload == null ? {} : { payload }) })
  })
}

export function decodeDelta (bytes: Uint8Array): DeltaAnnouncement {
  const { manifest, payload } = parse(bytes, MAX_GOSSIP_BYTES, 'delta', bytes => pb.DeltaAnnouncement.decode(bytes, { limits: { manifest: { base: MAX_PEERS, losses: MAX_TASKS } } }))
  if (manifest == null) throw new DecodeError('delta without a manifest')
  const checkedManifest = checkManifest(manifest)
  if (payload == null) return { manifest: checkedManifest }
  if (payload.byteLength > MAX_INLINE_BYTES || payload.byteLength !== manifest.bytes) throw new DecodeError(`inline payload of ${payload.byteLength} bytes, the manifest says ${manifest.bytes}`)
  return { manifest: checkedManifest, payload }
}

function checkManifest (manifest: pb.DeltaManifest): DeltaManifest {
  if (!CODECS.has(manifest.codec)) throw new DecodeError('unknown codec of a delta')
  atMost(manifest.base.length, 'base entries', MAX_PEERS)
  atMost(manifest.losses.length, 'losses', MAX_TASKS)
  const base = new Map(manifest.base.map(({ key, value }) => [text(key, 'base host'), whole(value, 'base round', 0, U32)]))
  if (base.size !== manifest.base.length || base.has('__proto__')) throw new DecodeError('base names a host twice')
  return {
    host: text(manifest.host, 'host'),
    model: text(manifest.model, 'model'),
    round: whole(manifest.round, 'round', 0, U32),
    base: Object.fromEntries(base),
    codec: manifest.codec as DeltaManifest['codec'],
    bytes: whole(manifest.bytes, 'payload bytes', 1, MAX_BLOB_BYTES),
    hash: hash(manifest.hash, 'payload hash'),
    samples: whole(manifest.samples, 'samples', 0, U32),
    clients: whole(manifest.clients, 'clients', 0, U32),
    losses: manifest.losses.map(({ task, loss, samples }) => ({ task: text(task, 'task', MAX_TENSOR_NAME_BYTES), loss: number(loss, 'loss'), samples: whole(samples, 'samples', 0, U32) })),
    norm: amount(manifest.norm, 'norm'),
    ...manifest.history === undefined ? {} : { history: hash(manifest.history, 'history hash') }
  }
}
