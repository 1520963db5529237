/** The card of a model on offer: contract <-> bytes. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { MAX_BENCH_ADDRESSES, MAX_BENCH_CARD_BYTES, MAX_BLOB_BYTES, MAX_TASKS, MAX_TENSOR_NAME_BYTES } from '../limits.ts'
import { checked, clip, hash, parse, text, texts, whole } from '../wire.ts'
import * as pb from './messages.generated.ts'
import type { ModelCard } from '../../src/bench/card.ts'

/** A model's card, and who offers it where. */
export interface BenchCard {
  readonly card: ModelCard
  /** What its peer is called. */
  readonly name: string
  /** Hash of the charter that it is trained under. */
  readonly charter: string
  /** Where its peer can be dialled. */
  readonly addresses: readonly string[]
}

const U32 = 0xffffffff
const FLOAT_BYTES = 4
/** A file name, and what people read. */
const MODEL_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/

export function encodeBenchCard (offer: BenchCard): Uint8Array {
  return checked('a model card', () => {
    const bytes = pb.BenchCard.encode(toWire(read(toWire({ ...offer, name: clip(offer.name, MAX_TENSOR_NAME_BYTES), addresses: offer.addresses.slice(0, MAX_BENCH_ADDRESSES) }))))
    if (bytes.byteLength > MAX_BENCH_CARD_BYTES) throw new DecodeError(`${bytes.byteLength} bytes, at most ${MAX_BENCH_CARD_BYTES}`)
    return bytes
  })
}

export function decodeBenchCard (bytes: Uint8Array): BenchCard {
  return read(parse(bytes, MAX_BENCH_CARD_BYTES, 'model card', bytes => pb.BenchCard.decode(bytes, { limits: { tasks: MAX_TASKS, addresses: MAX_BENCH_ADDRESSES } })))
}

function toWire ({ card, ...offer }: BenchCard): pb.BenchCard {
  const { tasks, ...rest } = card
  return { ...rest, ...offer, tasks: tasks.map(task => ({ ...task })), addresses: [...offer.addresses] }
}

function read (message: pb.BenchCard): BenchCard {
  const parameters = whole(message.parameters, 'parameters', 1, MAX_BLOB_BYTES / FLOAT_BYTES)
  const bytes = whole(message.bytes, 'bytes of the weights', 1, MAX_BLOB_BYTES)
  if (bytes !== parameters * FLOAT_BYTES) throw new DecodeError(`model card of ${parameters} parameters in ${bytes} bytes`)
  const tasks = message.tasks.map(({ id, classes, space }) => ({ id: text(id, 'task', MAX_TENSOR_NAME_BYTES), classes: whole(classes, 'classes', 1, U32), space: text(space, 'label space', MAX_TENSOR_NAME_BYTES) }))
  if (tasks.length === 0 || tasks.length > MAX_TASKS || new Set(tasks.map(({ id }) => id)).size !== tasks.length) throw new DecodeError(`model card of ${tasks.length} tasks, or of one twice`)
  return {
    card: {
      peer: text(message.peer, 'peer'),
      modelId: modelName(message.modelId, 'model'),
      version: whole(message.version, 'version', 1, U32),
      arch: modelName(message.arch, 'architecture'),
      parameters,
      bytes,
      sha256: hash(message.sha256, 'hash of the weights'),
      tasks,
      ...message.valAccuracy === undefined ? {} : { valAccuracy: skill(message.valAccuracy, 'accuracy') }
    },
    name: text(message.name, 'name', MAX_TENSOR_NAME_BYTES, 0),
    charter: text(message.charter, 'charter'),
    addresses: texts(message.addresses, 'addresses', MAX_BENCH_ADDRESSES)
  }
}

function modelName (value: string, what: string): string {
  if (!MODEL_NAME.test(value)) throw new DecodeError(`${what}: not 1 to 64 of a-z 0-9 . _ -`)
  return value
}

/** A share of right answers, or the skill of a regression, which may be below 0. */
function skill (value: number, what: string): number {
  if (!Number.isFinite(value) || value > 1) throw new DecodeError(`${what}: ${value}, expected a number up to 1`)
  return value
}
