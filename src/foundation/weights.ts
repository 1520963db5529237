/**
 * The weights of a foundation model as one set of named tensors: 'embed/<parameter>', 'trunk/<parameter>', as the graphs
 * of src/models name them. Their hash is what a charter agrees on; their values are what trainers start from.
 */
import { createHash } from 'node:crypto'
import { FoundationError } from '../errors.ts'
import { buildTrunk } from '../models/trunk.ts'
import { embedUnit, embedderOf, inputsOf } from '../models/inputs.ts'
import { expectFoundation, parseFoundation, readsInput } from './spec.ts'
import { initialise } from '../models/parameters.ts'
import type { Charter } from '../federation/charter.ts'
import type { FoundationModel } from './hugging-face.ts'
import type { FoundationSpec } from './spec.ts'
import type { Graph } from '../graph/graph.ts'
import type { NamedTensor } from '../tensor/tensor.ts'

export interface LoadedFoundation {
  /** The settings of a charter's `model` section that name this model. */
  readonly model: Omit<FoundationModel, 'foundation'> & { readonly foundation: FoundationSpec }
  readonly tensors: readonly NamedTensor[]
}

/** What a file says besides its tensors. */
export type FoundationMetadata = Readonly<Record<string, string>>

const FORMAT = { format: 'fmtl-foundation', version: '1' } as const

/** Over names, shapes and bits, in the order of the names. */
export function weightsHash (tensors: readonly NamedTensor[]): string {
  const hash = createHash('sha256')
  for (const { name, tensor: { shape, data } } of [...tensors].sort((a, b) => a.name < b.name ? -1 : 1)) {
    hash.update(`${name} ${shape.join('x')}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}

export function withHash ({ foundation, ...sizes }: FoundationModel, tensors: readonly NamedTensor[]): LoadedFoundation {
  return { model: { ...sizes, foundation: { ...foundation, sha256: weightsHash(tensors) } }, tensors }
}

export function metadataOf ({ model }: LoadedFoundation): FoundationMetadata { return { ...FORMAT, model: JSON.stringify(model) } }

/** @throws {FoundationError} no such file, another version, or weights that are not those it was written with */
export function readLoaded (metadata: FoundationMetadata, tensors: readonly NamedTensor[]): LoadedFoundation {
  if (metadata.format !== FORMAT.format) throw new FoundationError('it holds no foundation model', { next: 'write one with `fmtl-node import FOLDER --out FILE`' })
  if (metadata.version !== FORMAT.version) throw new FoundationError(`it has version ${metadata.version}, this fmtl-node reads version ${FORMAT.version}`, { next: 'import the model again' })
  let model: LoadedFoundation['model']
  try {
    const { width, layers, heads, hidden, foundation } = JSON.parse(metadata.model ?? '') as LoadedFoundation['model']
    model = { width, layers, heads, hidden, foundation: parseFoundation(foundation) }
  } catch (cause) {
    throw new FoundationError(`what it says of its model cannot be read: ${(cause as Error).message}`, { cause, next: 'import the model again' })
  }
  const [said, found] = [model.foundation.sha256, weightsHash(tensors)]
  if (said !== found) throw new FoundationError(`its weights have sha-256 ${found.slice(0, 16)}..., it was written with ${said.slice(0, 16)}...`, { next: 'import the model again' })
  return { model, tensors }
}

/**
 * Start values of the trunk's unit and of the embedders' that are the model's, each flat. In shared memory: the trainers of one process need one copy.
 * @throws {FoundationError} the charter names another model, or none
 */
export function startWeights (charter: Charter, loaded: LoadedFoundation | undefined): readonly NamedTensor[] {
  const { model, seed } = charter
  const wanted = model.backbone.foundation
  expectFoundation(wanted, loaded?.tensors)
  if (wanted === undefined || loaded === undefined) return []
  const { foundation: { sha256 } } = loaded.model
  if (sha256 !== wanted.sha256) throw new FoundationError(`the charter builds on a ${wanted.family} model with sha-256 ${wanted.sha256.slice(0, 16)}..., the file given has ${sha256.slice(0, 16)}...`, { next: 'fetch the file from the member who wrote the charter' })
  const byName = new Map(loaded.tensors.map(({ name, tensor }) => [name, tensor.data]))
  const unit = (name: string, part: string, graph: Graph): NamedTensor => {
    const data = new Float32Array(new SharedArrayBuffer(4 * graph.parameterCount))
    data.set(initialise(graph, seed, name))
    for (const { name: parameter, offset, size } of graph.parameters) {
      const values = byName.get(`${part}/${parameter}`)
      // texts may be shorter than the model has positions for
      if (values === undefined || values.length < size || (values.length > size && parameter !== 'positions')) throw new FoundationError(`the file has no weights ${part}/${parameter} of ${size} numbers`, { next: 'import the model again' })
      data.set(values.subarray(0, size), offset)
    }
    return { name, tensor: { shape: [data.length], data } }
  }
  return [
    ...inputsOf(charter).filter(input => readsInput(wanted, input)).map(input => unit(embedUnit(input), 'embed', embedderOf(model, input).graph)),
    unit('trunk', 'trunk', buildTrunk(model.backbone))
  ]
}
