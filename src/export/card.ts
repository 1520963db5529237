/**
 * What an exported predictor says of itself: everything that is needed to compute with it, and where it comes from. It stands
 * in the metadata of the file, as JSON; the weights beside it are named `<member>/<part>/<parameter>`, batch normalisations
 * folded. A card comes from outside: it is checked before anything is built from it.
 */
import { DecodeError, InvalidParametersError } from '../errors.ts'
import { charterHash, readCharter } from '../federation/charter.ts'
import { createHash } from 'node:crypto'
import { elements } from '../tensor/tensor.ts'
import { parseModelSpec } from '../models/spec.ts'
import { validateTaskSpec } from '../tasks/index.ts'
import type { Charter } from '../federation/charter.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { Seat } from '../methods/index.ts'
import type { TaskSpec } from '../tasks/task.ts'

export interface Card {
  readonly version: 1
  /** Of the consortium. */
  readonly name: string
  /** Hash of its charter. */
  readonly charter: string
  /** The charter's seed: data are split by it. */
  readonly seed: number
  /** The charter's method, where it names one. */
  readonly method?: string
  /** Steps of the clock that it was trained for. */
  readonly step: number
  /** Form of every member; with `site` what its method made of it. */
  readonly model: ModelSpec
  /**
   * Where the method's model is of no such form: the whole charter, by which the site's half of the method is built again; the
   * weights are then named as the site's checkpoint named them.
   */
  readonly site?: Charter
  /** With `site`: where the site stood among all, by which widths and ranks may differ. */
  readonly seat?: Seat
  /** What it reads: of several inputs the site's. */
  readonly input: InputSpec
  readonly tasks: readonly TaskSpec[]
  /** Models whose raw outputs are averaged. */
  readonly members: number
  /** Share of the full width, and 0 for clean rows to 1 for attacked ones. */
  readonly width: number
  readonly robustness: number
  /** sha-256 over names and bits of the weights, hex. */
  readonly weights: string
}

/** Metadata key of the card. */
export const CARD = 'fmtl-predictor'
/** As many as there can be bases. */
const MAX_MEMBERS = 64
/** A row of input: 2^24 numbers are 64 MiB. */
const MAX_INPUT = 2 ** 24
const MAX_TASKS = 1000

/** sha-256 over names and bits, in the order of the names. */
export function weightsHash (tensors: readonly NamedTensor[]): string {
  const hash = createHash('sha256')
  for (const { name, tensor: { data } } of [...tensors].sort((a, b) => a.name < b.name ? -1 : 1)) {
    hash.update(`${name} ${data.length}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}

/** @throws {DecodeError} no card, or one that cannot be */
export function readCard (metadata: Readonly<Record<string, string>>): Card {
  const text = metadata[CARD]
  if (text === undefined) throw new DecodeError('this file is no exported predictor', { next: 'make one with `fmtl-node export`' })
  try {
    return check(JSON.parse(text) as Partial<Card>)
  } catch (cause) {
    if (cause instanceof SyntaxError || cause instanceof InvalidParametersError || cause instanceof TypeError) throw new DecodeError(`the predictor's card cannot be: ${cause.message}`, { cause, next: 'export it again' })
    throw cause
  }
}

function check (card: Partial<Card>): Card {
  const { version, name, charter, seed, step, model, site, seat, input, tasks, members, width, robustness, weights } = card
  const refuse = (why: string): never => { throw new InvalidParametersError(why) }
  if (version !== 1) refuse(`version ${String(version)} is not known here`)
  if (![name, charter, weights].every(text => typeof text === 'string')) refuse('name, charter and weights are texts')
  if (!Number.isInteger(seed) || !Number.isInteger(step)) refuse('seed and step are whole numbers')
  if (!Number.isInteger(members) || (members as number) < 1 || (members as number) > MAX_MEMBERS) refuse(`members is a whole number from 1 to ${MAX_MEMBERS}`)
  for (const share of [width, robustness]) if (typeof share !== 'number' || !(share >= 0 && share <= 1)) refuse('width and robustness are numbers from 0 to 1')
  const sizes = input?.shape
  if (!Array.isArray(sizes) || !sizes.every(size => Number.isInteger(size) && (size as number) > 0) || elements(sizes as number[]) > MAX_INPUT) refuse('the input has no shape that could be')
  if (!['image', 'table', 'series', 'tokens'].includes(String(input?.modality))) refuse(`no modality ${String(input?.modality)}`)
  if (!Array.isArray(tasks) || tasks.length === 0 || tasks.length > MAX_TASKS) refuse('there are no tasks, or too many')
  for (const task of tasks as TaskSpec[]) validateTaskSpec(task)
  if (site !== undefined && charterHash(readCharter(site)) !== charter) refuse('its charter is another than it names')
  if (seat !== undefined && !(Number.isInteger(seat.rank) && Number.isInteger(seat.of) && seat.rank >= 0 && seat.rank < seat.of)) refuse('there is no such seat')
  const { backbone, ...parts } = model as ModelSpec
  if (parts.kind !== 'linear') parseModelSpec({ ...backbone, ...parts }, input as InputSpec)
  return card as Card
}
