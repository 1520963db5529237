/**
 * What lies between a forward and its backward at a host: passes that several clients share, whose gradients come back one
 * by one, and the steps of each client that are open in them.
 */
import { FmtlError, InvalidParametersError, ProtocolError, ShapeMismatchError } from '../errors.ts'
import { keptFloats } from './memory.ts'
import { allFinite, giveBack, sameShape } from '../tensor/tensor.ts'
import { sumTensors } from './client-parts.ts'
import type { BackboneSpec } from '../models/spec.ts'
import type { Kept } from '../backend/backend.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { Unit } from './unit.ts'

/** One client's activations of one step, [B, N, D]. */
export interface ForwardShare {
  readonly client: string
  readonly step: number
  readonly activations: TensorData
}

/** One client's gradients at the cut, one tensor or one per task, [B, N, D] each. */
export interface BackwardShare {
  readonly client: string
  readonly step: number
  readonly featureGrads: readonly NamedTensor[]
}

interface Failure { readonly code: string, readonly message: string }

/** dL/dactivations, [B, N, D], or why there is none: one client's mistake must not end another's step. */
export type BackwardResult = { readonly tensor: TensorData } | Failure

/** Rows of several clients that went through the trunk together. */
interface Pass {
  readonly kept: Kept
  /** Numbers kept for backward beyond the inputs. */
  readonly floats: number
  /** Of one share. */
  readonly shape: readonly number[]
  readonly size: number
  /** Shares whose gradients have not come. */
  open: number
  /** What backward gave, [groups, parameters] each, and how many shares still hold a part of it. */
  readonly gradients: Float32Array[]
  read: number
}

export interface OpenStep {
  readonly pass: Pass
  /** This client's group in the pass. */
  readonly index: number
  /** Trunk gradient per projection unit ('<client>' or '<client>/<task>'); empty until GRADS came. */
  readonly rows: Map<string, Float32Array>
  /** Gradients of the shared units. */
  shared: ReadonlyMap<string, Float32Array>
}

/**
 * Numbers that a vector unit takes at once (AVX-512: 16 floats). An operation's last numbers, which do not fill one, go
 * another way and may differ in their last bits; where everything is a multiple of it, a client's numbers do not depend on
 * who else was in its pass (0 of 150 random models and groups differed, 81 of 120 without this).
 */
const VECTOR = 16

/**
 * Whether clients with activations of this shape may share a pass: only where that cannot be seen in the numbers, since
 * who comes first on a network is chance, and the same seed is to give the same numbers.
 */
export function mayShare ({ width, hidden }: BackboneSpec, [rows = 0, tokens = 0]: readonly number[]): boolean {
  return [width, hidden, rows * tokens].every(count => count % VECTOR === 0)
}

export class OpenPasses {
  readonly #trunk: Unit
  readonly #limit: number
  /** client -> step -> what is open. */
  readonly #open = new Map<string, Map<number, OpenStep>>()
  #kept = 0

  /** @param limit - numbers that open passes may keep in all; passes beyond it keep their inputs and compute once more */
  constructor (trunk: Unit, limit: number) {
    this.#trunk = trunk
    this.#limit = limit
  }

  /**
   * Features of several clients' activations in one pass, in their order.
   * @param shares - activations of one shape
   */
  async forward (shares: readonly ForwardShare[]): Promise<readonly TensorData[]> {
    const [first] = shares as readonly [ForwardShare, ...ForwardShare[]]
    const { shape, data: { length: size } } = first.activations
    const activations = stack(shape, shares.map(share => share.activations.data))
    const all = shares.length * keptFloats(this.#trunk.program, shape[0] as number, shape[1] as number)
    const keep = this.#kept + all <= this.#limit ? 'values' : 'inputs'
    const { outputs, kept } = await this.#trunk.model.forward({ activations }, { groups: shares.length, keep })
    const pass: Pass = { kept, floats: keep === 'values' ? all : 0, shape, size, open: shares.length, gradients: [], read: 0 }
    this.#kept += pass.floats
    for (const [index, { client, step }] of shares.entries()) {
      this.#close(client, step) // sent again
      const steps = this.#open.get(client) ?? new Map<number, OpenStep>()
      this.#open.set(client, steps.set(step, { pass, index, rows: new Map(), shared: new Map() }))
    }
    return shares.map((_, index) => part(outputs.features as TensorData, shape, size, index))
  }

  /**
   * Gradients of clients that shared a forward pass; of others that did, those may come later.
   * @param expectRows - throws for names of gradients that this host does not take
   * @returns per share, in their order
   */
  async backward (shares: readonly BackwardShare[], expectRows: (client: string, names: readonly string[]) => void): Promise<readonly BackwardResult[]> {
    const found = shares.map(share => this.#accept(share, expectRows))
    const taken = found.flatMap((open, i) => 'pass' in open ? [{ open, share: shares[i] as BackwardShare, inputs: [] as TensorData[] }] : [])
    const pass = taken[0]?.open.pass
    if (pass === undefined) return found as Failure[]
    if (taken.some(({ open }) => open.pass !== pass)) throw new InvalidParametersError('backward: these gradients belong to several forward passes')
    const { groups } = pass.kept
    for (let k = 0; taken.some(({ share }) => k < share.featureGrads.length); k++) {
      const had = taken.filter(({ share }) => k < share.featureGrads.length)
      // A share without a gradient has zeros there, and zeros come back for it.
      const features = groups === 1
        ? had[0]?.share.featureGrads[k]?.tensor as TensorData
        : { shape: [groups * (pass.shape[0] as number), ...pass.shape.slice(1)], data: new Float32Array(groups * pass.size) }
      if (groups > 1) for (const { open, share } of had) features.data.set(share.featureGrads[k]?.tensor.data as Float32Array, open.index * pass.size)
      const back = await this.#trunk.model.backwardKeep(pass.kept, { features })
      if (groups > 1) giveBack(features.data)
      pass.gradients.push(back.parameters)
      const count = back.parameters.length / groups
      for (const { open, share: { client, featureGrads }, inputs } of had) {
        const name = featureGrads[k]?.name as string
        open.rows.set(name === 'client' ? client : `${client}/${name}`, back.parameters.subarray(open.index * count, (open.index + 1) * count))
        inputs.push(part(back.inputs.activations as TensorData, pass.shape, pass.size, open.index))
      }
    }
    this.#leave(pass, taken.length)
    pass.read += taken.length
    const results = taken.map(({ inputs }) => ({ tensor: sumTensors(inputs) }))
    return found.map(open => 'pass' in open ? results.shift() as { tensor: TensorData } : open)
  }

  /** @throws {ProtocolError} ERR_LATE: no forward of this step is open */
  expect (client: string, step: number): OpenStep {
    const open = this.#open.get(client)
    const found = open?.get(step)
    if (found === undefined) throw new ProtocolError(`${client} has no open step ${step} (open: ${[...open?.keys() ?? []].join(', ') || 'none'})`, { code: 'ERR_LATE' })
    return found
  }

  /** Frees everything up to a step that has closed. */
  closeThrough (step: number): void {
    for (const [client, open] of this.#open) for (const earlier of [...open.keys()]) if (earlier <= step) this.#close(client, earlier)
  }

  /** Frees whatever a client has open: it left. */
  drop (client: string): void {
    for (const step of [...this.#open.get(client)?.keys() ?? []]) this.#close(client, step)
    this.#open.delete(client)
  }

  dispose (): void { for (const client of [...this.#open.keys()]) this.drop(client) }

  #accept ({ client, step, featureGrads }: BackwardShare, expectRows: (client: string, names: readonly string[]) => void): OpenStep | Failure {
    try {
      const open = this.expect(client, step)
      if (open.rows.size > 0) throw new ProtocolError(`${client} sent the gradients of step ${step} twice`)
      expectRows(client, featureGrads.map(({ name }) => name))
      for (const { name, tensor } of featureGrads) {
        if (!sameShape(tensor.shape, open.pass.shape)) throw new ShapeMismatchError(open.pass.shape, tensor.shape, `gradient ${name} of ${client}`)
        if (!allFinite(tensor.data)) throw new ProtocolError(`${client} sent a gradient of step ${step} that is not finite`)
      }
      return open
    } catch (error) {
      if (!(error instanceof FmtlError)) throw error
      return { code: error.code, message: error.message }
    }
  }

  #close (client: string, step: number): void {
    const open = this.#open.get(client)?.get(step)
    if (open === undefined) return
    this.#open.get(client)?.delete(step)
    if (open.rows.size === 0) this.#leave(open.pass, 1)
    // Clients of one backward share a buffer: it goes with the last of them.
    else if (--open.pass.read === 0) for (const gradients of open.pass.gradients) giveBack(gradients)
  }

  /** So many shares of a pass are through with it; the last one frees it. */
  #leave (pass: Pass, shares: number): void {
    pass.open -= shares
    if (pass.open > 0) return
    pass.kept.release()
    this.#kept -= pass.floats
  }
}

/** Rows of several clients on top of each other. */
function stack ([rows = 0, ...rest]: readonly number[], parts: readonly Float32Array[]): TensorData {
  const [first] = parts as readonly [Float32Array, ...Float32Array[]]
  if (parts.length === 1) return { shape: [rows, ...rest], data: first }
  const data = new Float32Array(parts.length * first.length)
  parts.forEach((part, i) => data.set(part, i * first.length))
  return { shape: [parts.length * rows, ...rest], data }
}

/** The rows of one of them, in an array of their own: it moves to another thread without a copy. */
function part ({ data }: TensorData, shape: readonly number[], size: number, index: number): TensorData {
  return { shape, data: data.length === size ? data : data.slice(index * size, (index + 1) * size) }
}
