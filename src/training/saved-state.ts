/** Trainers as named tensors: what a checkpoint holds of a unit, and how it is read back whole or not at all. */
import { createHash } from 'node:crypto'
import { InvalidParametersError } from '../errors.ts'
import { dataByName } from '../tensor/tensor.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { OptimiserState } from './optimiser.ts'
import type { Weights } from './unit.ts'

export interface UnitState {
  readonly parameters: Float32Array
  readonly optimiser: OptimiserState
}

/** A vector under a name. Copied: what a worker hands out is moved to the other thread and gone from here. */
export function vector (name: string, data: Float32Array): NamedTensor {
  return { name, tensor: { shape: [data.length], data: data.slice() } }
}

/** Short hash over names and bits. */
export function fingerprintOf (tensors: Iterable<readonly [string, Float32Array]>): string {
  const hash = createHash('sha256')
  for (const [name, data] of tensors) hash.update(`${name} ${data.length}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return hash.digest('hex').slice(0, 16)
}

/** Weights and optimiser of a unit, under `name`. */
export function saveUnit (name: string, unit: Weights): NamedTensor[] {
  const { parameters, optimiser: { first, second, step } } = unit.save()
  return [
    vector(name, parameters),
    ...first === undefined || second === undefined ? [] : [vector(`${name}.first`, first), vector(`${name}.second`, second)],
    vector(`${name}.step`, Float32Array.of(step))
  ]
}

/** Starts units from weights that came from elsewhere. @throws {InvalidParametersError} a unit is missing, or of another model */
export function startFrom (units: Iterable<Weights>, weights: readonly NamedTensor[]): void {
  const byName = dataByName(weights)
  const found = [...units].map(unit => {
    const data = byName.get(unit.name)
    if (data?.length !== unit.parameters.length) throw new InvalidParametersError(`${unit.name} to start from is missing or of another model`)
    return [unit, data] as const
  })
  for (const [unit, data] of found) unit.start(data) // all of them or none
}

export class SavedState {
  readonly #byName: ReadonlyMap<string, Float32Array>

  constructor (tensors: readonly NamedTensor[]) { this.#byName = dataByName(tensors) }

  /** Of what is there, what begins so. */
  names (prefix: string): readonly string[] { return [...this.#byName.keys()].filter(name => name.startsWith(prefix)) }

  /** Everything, under its names. */
  tensors (): NamedTensor[] { return [...this.#byName].map(([name, data]) => vector(name, data)) }

  has (name: string): boolean { return this.#byName.has(name) }

  /** A copy, or undefined where the checkpoint has none. */
  find (name: string): Float32Array | undefined { return this.#byName.get(name)?.slice() }

  /** @throws {InvalidParametersError} the checkpoint is of another model */
  need (name: string, length: number): Float32Array {
    const data = this.find(name)
    if (data?.length !== length) throw new InvalidParametersError(`checkpoint: ${name} is missing or of another model`, { next: 'start in an empty home, or restore the matching checkpoint' })
    return data
  }

  /** What `saveUnit` wrote. @throws {InvalidParametersError} the checkpoint is of another model */
  unit (name: string, { parameters: { length }, moments }: Weights): UnitState {
    return {
      parameters: this.need(name, length),
      optimiser: {
        ...moments ? { first: this.need(`${name}.first`, length), second: this.need(`${name}.second`, length) } : {},
        step: this.need(`${name}.step`, 1)[0] as number
      }
    }
  }
}
