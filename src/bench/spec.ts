/**
 * The `bench` section of a charter: nobody hosts and nothing is averaged. Every site trains models of its own, one per
 * architecture, hands them to its peers when they are ready, and serves a few of what it has and got (./peer-trainer.ts).
 */
import { DIVERSITIES } from '../ensemble/index.ts'
import { InvalidParametersError } from '../errors.ts'
import { localStepsOf, totalSteps } from '../training/spec.ts'
import { parseModelSpec, refuseUnknown, specHash } from '../models/spec.ts'
import type { Combination, Diversity } from '../ensemble/index.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { MergeSpec } from '../federation/charter.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { TrainingSpec } from '../training/spec.ts'

/** Changes to the charter's model section; none of them is that model. */
export type ArchitectureChange = Readonly<Record<string, unknown>>

export interface BenchSpec {
  /** What every site trains a model of, from its own seeds. Peers' models of other architectures are not taken. */
  readonly architectures: readonly ArchitectureChange[]
  /** Times that a site publishes its models, evenly over its training. Left out: once, when they are trained. */
  readonly rounds?: number
  /** Models on a site's bench at most, its own included. */
  readonly cap: number
  /** Of one received model, in bytes as it travels. */
  readonly maxBytes: number
  /** What keeps members of a committee apart (src/ensemble/objectives.ts). */
  readonly diversity: Diversity
  /** soft: mean of the members' probabilities; hard: majority vote. */
  readonly combination: Combination
  /** Members of a committee at most. */
  readonly maxMembers: number
}

/** As section 7 of the paper's protocol has it: 32 models; a committee of 5 is what the search can still try out on a few rows. */
export const BENCH = { cap: 32, maxBytes: 2 ** 24, diversity: 'pang', combination: 'soft', maxMembers: 5 } as const
/** The authors went up to 8. */
const MAX_ARCHITECTURES = 8
const MAX_ROUNDS = 1000
/** Keys of a model section that say how its shape is; the rest is for models that several sites teach. */
const SHAPE = ['width', 'layers', 'heads', 'hidden', 'attention', 'embedder', 'adapter']

/** An architecture as every peer builds it. */
export interface Architecture {
  /** Hash of its model section, 16 hex digits: what a card calls it. */
  readonly id: string
  readonly model: ModelSpec
}

/** @throws {InvalidParametersError} a setting that is unknown, cannot be, or does not fit the rest of the charter */
export function parseBench (raw: unknown, of: { model: ModelSpec, training: TrainingSpec, merge: MergeSpec, input: InputSpec }): BenchSpec {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) throw new InvalidParametersError(`bench must be a section of settings, got ${String(raw)}`)
  refuseUnknown('bench', raw, ['architectures', 'rounds', ...Object.keys(BENCH)])
  refuseShared(of)
  if (of.model.backbone.foundation !== undefined) throw new InvalidParametersError('bench: sites train models of their own from their own start values, and model.foundation gives all one', { next: 'leave model.foundation out, or choose another strategy than fedpae' })
  const { architectures = [{}], rounds = 1, ...rest } = raw as Partial<BenchSpec>
  const { cap, maxBytes, diversity, combination, maxMembers } = { ...BENCH, ...rest }
  if (!Array.isArray(architectures) || architectures.length < 1 || architectures.length > MAX_ARCHITECTURES) throw new InvalidParametersError(`bench.architectures must be a list of 1 to ${MAX_ARCHITECTURES} changes to the model`, { next: 'write [{}, {"width": 32, "heads": 4, "layers": 1}]' })
  architectures.forEach((change, i) => changed(change, i, of))
  whole('rounds', rounds, MAX_ROUNDS)
  whole('cap', cap, 256)
  if (cap <= architectures.length) throw new InvalidParametersError(`bench.cap ${cap} leaves no place beside ${architectures.length} models of the site itself`, { next: `take ${architectures.length + 1} or more` })
  whole('maxBytes', maxBytes, 2 ** 30)
  whole('maxMembers', maxMembers, 16)
  oneOf('diversity', diversity, DIVERSITIES)
  oneOf('combination', combination, ['soft', 'hard'])
  return { architectures, ...rounds === 1 ? {} : { rounds }, cap, maxBytes, diversity, combination, maxMembers }
}

/** What each site trains a model of, in the charter's order. */
export function architecturesOf ({ architectures }: BenchSpec, model: ModelSpec, input: InputSpec): readonly Architecture[] {
  return architectures.map((change, i) => {
    const made = changed(change, i, { model, input })
    return { id: specHash({ model: made, input }), model: made }
  })
}

/** Gradient steps after which a site publishes its models, counted from the start; the last is the end of its training. */
export function publicationSteps ({ rounds = 1 }: BenchSpec, training: TrainingSpec): readonly number[] {
  const steps = totalSteps(training) * localStepsOf(training)
  return [...new Set(Array.from({ length: rounds }, (_, i) => Math.max(1, Math.round(steps * (i + 1) / rounds))))]
}

/** @throws {InvalidParametersError} a change that is no shape of a model, or gives one that cannot be */
function changed (change: unknown, index: number, { model, input }: { model: ModelSpec, input: InputSpec }): ModelSpec {
  const where = `bench.architectures[${index}]`
  if (change === null || typeof change !== 'object' || Array.isArray(change)) throw new InvalidParametersError(`${where} must be a section of changes to the model, got ${String(change)}`)
  refuseUnknown(where, change, SHAPE)
  const { backbone, embedder, ...parts } = model
  const { embedder: pieces = {}, ...shape } = change as { embedder?: object }
  try {
    return parseModelSpec({ ...backbone, ...parts, ...shape, embedder: { ...embedder, ...pieces } }, input)
  } catch (error) {
    if (!(error instanceof InvalidParametersError)) throw error
    throw new InvalidParametersError(`${where}: ${error.message}`, { cause: error, ...error.next === undefined ? {} : { next: error.next } })
  }
}

/** @throws {InvalidParametersError} a setting of models that several sites teach */
function refuseShared ({ model, training, merge }: { model: ModelSpec, training: TrainingSpec, merge: MergeSpec }): void {
  if (model.trunk !== 'client') throw new InvalidParametersError('bench needs the whole model at the client', { next: 'set model.trunk to client, or leave bench out' })
  if (model.kind === 'linear') throw new InvalidParametersError('bench trades deep models, and model.kind is linear', { next: 'leave bench or model.kind out' })
  if (merge.mode !== 'none') throw new InvalidParametersError(`merge.mode ${merge.mode} needs hosts, and a bench has none`, { next: 'set merge.mode to none' })
  const only = [
    ...model.sharedEmbedder !== false ? ['model.sharedEmbedder'] : [],
    ...model.sharedHeads.length > 0 ? ['model.sharedHeads'] : [],
    ...model.privateNorms === true ? ['model.privateNorms'] : [],
    ...model.norm === 'batch' ? ['model.norm batch'] : [],
    ...(['proximal', 'personal', 'attention', 'serverRate', 'serverMomentum'] as const).filter(key => training[key] !== undefined).map(key => `training.${key}`)
  ]
  if (only.length > 0) throw new InvalidParametersError(`${only.join(', ')}: a site's models are its own here, nothing is averaged`, { next: `leave ${only.length > 1 ? 'them' : 'it'} out` })
}

function whole (key: string, value: unknown, most: number): void {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > most) throw new InvalidParametersError(`bench.${key} must be a whole number from 1 to ${most}, got ${String(value)}`)
}

function oneOf (key: string, value: string, known: readonly string[]): void {
  if (!known.includes(value)) throw new InvalidParametersError(`bench.${key} cannot be '${value}'`, { next: `use one of ${known.join(', ')}` })
}
