/**
 * The last check before something leaves a client. Two halves, both of which must pass:
 *
 *   structure (network thread): only the frame kinds of a client, only the tensors that a kind may carry, only the
 *   negotiated shapes, and unit gradients only of units that the charter shares;
 *   content (compute worker): nothing that equals a private buffer - rows, labels, unfolded inputs, the weights and
 *   gradients of private units - goes out under any name.
 */
import { PrivacyError } from '../errors.ts'
import { CLIENT_FRAMES } from './frames.ts'
import type { Frame } from './frames.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface OutgoingRules {
  /** [tokens, width] of the cut. */
  readonly cut: readonly number[]
  /** Tasks of this client: gradients may travel one by one under 'task/<id>'. */
  readonly tasks: readonly string[]
  /** Units that the charter averages. */
  readonly shared: readonly string[]
  /** The client holds the whole model: nothing of a single row leaves, not even activations. */
  readonly whole?: boolean
}

/** @returns a check that throws {PrivacyError} on any frame that a client of these rules must not send */
export function outgoingGuard (rules: OutgoingRules): (frame: Frame) => void {
  const gradientNames = new Set(['client', ...rules.tasks.map(task => `task/${task}`)])
  return frame => {
    if (!(CLIENT_FRAMES as readonly string[]).includes(frame.kind)) throw refusal(frame, 'is not a frame that a client sends')
    for (const { name, tensor } of frame.tensors) {
      if (rules.whole === true && frame.kind !== 'share') throw refusal(frame, `carries no tensors where the client holds the whole model, got ${name}`)
      switch (frame.kind) {
        case 'forward':
        case 'eval-forward':
          if (name !== 'activations' || !isCut(tensor, rules.cut)) throw refusal(frame, `may carry activations [rows, ${rules.cut.join(', ')}], not ${name} [${tensor.shape.join(', ')}]`)
          break
        case 'grads':
          if (!gradientNames.has(name) || !isCut(tensor, rules.cut)) throw refusal(frame, `may carry gradients at the cut [rows, ${rules.cut.join(', ')}], not ${name} [${tensor.shape.join(', ')}]`)
          break
        case 'share':
          if (!rules.shared.includes(name)) throw refusal(frame, `may carry ${rules.shared.join(', ') || 'no unit'} (the charter's shared units), not ${name}`)
          break
        default:
          throw refusal(frame, `carries no tensors, got ${name}`)
      }
    }
  }
}

function isCut (tensor: TensorData, cut: readonly number[]): boolean {
  return tensor.shape.length === cut.length + 1 && cut.every((size, axis) => tensor.shape[axis + 1] === size)
}

function refusal (frame: Frame, why: string): PrivacyError {
  return new PrivacyError(`refused to send: a ${frame.kind} frame ${why}`, { next: 'this is a bug or a tampered client; nothing was sent' })
}

/** Knows private buffers by length and 128-bit fingerprint; the newest `capacity` of them. */
export class ContentGuard {
  readonly #known = new Map<string, string>()
  readonly #capacity: number

  constructor (capacity = 256) { this.#capacity = capacity }

  /** Declares a buffer private as it is now. */
  protect (name: string, data: Float32Array): void {
    if (data.length < 2 || data.every(value => value === data[0])) return // a constant says nothing and would match by chance
    this.#known.set(fingerprint(data), name)
    if (this.#known.size > this.#capacity) this.#known.delete(this.#known.keys().next().value as string)
  }

  /** @throws {PrivacyError} these numbers are a private buffer */
  check (what: string, data: Float32Array): void {
    const name = this.#known.get(fingerprint(data))
    if (name !== undefined) throw new PrivacyError(`refused to send ${what}: it is ${name}`, { next: 'this is a bug or a tampered client; nothing was sent' })
  }
}

/** Four 32-bit multiplicative hashes, each over the bits of every fourth number, and the length. None waits for another's product. */
function fingerprint (data: Float32Array): string {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length)
  let [a, b, c, d] = [0x811c9dc5, 0x9e3779b9, 0x85ebca6b, 0xc2b2ae35]
  let i = 0
  for (; i + 4 <= bits.length; i += 4) {
    a = mixed(a, bits[i] as number)
    b = mixed(b, bits[i + 1] as number)
    c = mixed(c, bits[i + 2] as number)
    d = mixed(d, bits[i + 3] as number)
  }
  for (; i < bits.length; i++) a = mixed(a, bits[i] as number)
  return [data.length, a >>> 0, b >>> 0, c >>> 0, d >>> 0].join(':')
}

/** FNV-1a's step, folded: without that the upper bits of a number never reach the lower ones of the hash. */
function mixed (hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x01000193)
  return product ^ (product >>> 15)
}
