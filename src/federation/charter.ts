/** The agreed settings of one consortium: model, training, projection, merging. Same charter, same seed: same numbers. */
import { InvalidParametersError } from '../errors.ts'
import { parseBench } from '../bench/spec.ts'
import { parseGrouping } from './grouping.ts'
import { CLIP, OUTER_MOMENTUM, OUTER_RATE, SHARE_CAP } from '../merging/outer.ts'
import { LINEAR_KINDS } from '../models/linear.ts'
import { exchangeOf, methodOf, parseMethod } from '../methods/index.ts'
import { checkInputs, embedUnit, sharesEmbedder } from '../models/inputs.ts'
import { MAX_FRAME_TENSORS } from '../backbone/frames.ts'
import { canonicalJson, parseModelSpec, refuseUnknown, specHash } from '../models/spec.ts'
import { ATTENTIONS } from '../projection/gp.ts'
import { ruleNames } from '../projection/index.ts'
import { checkMergeRule, checkProjectionOptions } from '../training/rules.ts'
import { isOutside } from '../projection/outside.ts'
import { inFlight, parseTrainingSpec } from '../training/spec.ts'
import { weightingNames } from '../weighting/index.ts'
import type { BenchSpec } from '../bench/spec.ts'
import type { DeltaManifest } from '../backbone/frames.ts'
import type { GroupingSpec } from './grouping.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { MethodSpec } from '../methods/index.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { Options } from '../options.ts'
import type { TaskSpec } from '../tasks/task.ts'
import type { TrainingSpec } from '../training/spec.ts'
import type { WeightingName } from '../weighting/index.ts'

export interface ProjectionSpec {
  /** One of src/projection/index.ts, or 'NAME#HASH' for a rule from a strategy file: the first 16 hex digits of its SHA-256. */
  readonly rule: string
  /**
   * gradient: the projected gradient conflicts with no task; update: so does the step that the optimiser applies; off: the
   * bare rule. `update` is the default: it cost nothing (federated, seeds 30 to 32: digits +.001, faces +.001, scenes +.007
   * against `gradient`), and it is the step that moves the trunk.
   */
  readonly strict: 'gradient' | 'update' | 'off'
  /** Whose gradients are kept apart: a client's (its tasks summed), or every task's of every client. */
  readonly unit: 'client' | 'task'
  readonly attention: 'none' | 'softmax-cos' | 'softmax-dot'
  /**
   * norm: gradients are brought to their mean length before the rule, so that no task outweighs another by the scale of its
   * loss (on `scenes` the longest is 55 times the shortest); none: as they come. Which directions conflict does not change.
   */
  readonly balance: 'norm' | 'none'
  /** How a client weighs the losses of its own tasks before it sums their gradients. Left out: alike, and charters from before keep their hash. */
  readonly weighting?: WeightingName
  /** Of the rule, such as c of cagrad, and of the weighting. Left out: their defaults, and charters from before keep their hash. */
  readonly options?: Options
}

export interface MergeSpec {
  /** select: every host chooses the deltas that help its clients; all: every host applies the same rule to the same set; none: hosts never meet. */
  readonly mode: 'select' | 'all' | 'none'
  /** Outer step and Nesterov momentum on the hosts' deltas. */
  readonly rate: number
  readonly momentum: number
  readonly codec: DeltaManifest['codec']
  /** Largest share of one host where three or more meet, (0, 1]. */
  readonly shareCap: number
  /** Deltas longer than this times the median length are scaled down, where three or more meet. */
  readonly clip: number
  /**
   * A gradient rule on the hosts' deltas of the trunk, conflict-free between hosts too unless projection.strict is off. Under
   * `select` it is one more candidate. Left out: their mean, and charters from before keep their hash.
   */
  readonly rule?: string
  /** Of that rule. Left out: its defaults for deltas. */
  readonly options?: Options
}

export interface ClockSpec {
  /** Longest wait for a client's gradient before the step goes on without it, ms. */
  readonly stepDeadlineMs: number
  /** Longest wait for other hosts' deltas and for clients' verdicts at a round's end, ms. */
  readonly roundDeadlineMs: number
  /** Clients that must be attached before a host takes its first step. */
  readonly quorum: number
  /** Other hosts that must have been seen before the first step. */
  readonly peers: number
}

export interface Charter {
  readonly name: string
  readonly seed: number
  readonly model: ModelSpec
  readonly training: TrainingSpec
  readonly projection: ProjectionSpec
  readonly merge: MergeSpec
  readonly clock: ClockSpec
  /** Codec of activations and gradients at the cut; of changes of the shared units where clients hold whole models. */
  readonly cutCodec: DeltaManifest['codec']
  /** What a row of input looks like at every client of this consortium. */
  readonly input: InputSpec
  /** Where clients have different inputs: all of them, `input` first, and tasks say which is theirs. Left out: one for all. */
  readonly inputs?: readonly InputSpec[]
  readonly tasks: readonly TaskSpec[]
  /** Client units averaged every step: 'embed/<input>', 'head/<task>', and 'trunk' where it is placed there. Everything else never leaves its client. */
  readonly shared: readonly string[]
  /** Whole models only: train merged first, then in groups of tasks that help each other. Left out: one model for all rounds. */
  readonly grouping?: GroupingSpec
  /** Whole models only: what sites make of each other beyond a mean, one of src/methods, with its options. Left out: a mean. */
  readonly method?: MethodSpec
  /** Nobody hosts: sites trade whole models and serve a few of them. Left out: sites train one model together. */
  readonly bench?: BenchSpec
}

export interface CharterOptions {
  readonly name: string
  readonly seed: number
  readonly input: InputSpec
  readonly inputs?: readonly InputSpec[]
  readonly tasks: readonly TaskSpec[]
  readonly model?: Readonly<Record<string, unknown>>
  readonly training?: Readonly<Record<string, unknown>>
  readonly projection?: Partial<ProjectionSpec>
  readonly merge?: Partial<MergeSpec>
  readonly clock?: Partial<ClockSpec>
  readonly cutCodec?: Charter['cutCodec']
  readonly grouping?: Partial<GroupingSpec>
  readonly method?: Readonly<Record<string, unknown>>
  readonly bench?: Partial<BenchSpec>
}

const PROJECTION: ProjectionSpec = { rule: 'gp', strict: 'update', unit: 'client', attention: 'softmax-cos', balance: 'norm' }
const MERGE: MergeSpec = { mode: 'select', rate: OUTER_RATE, momentum: OUTER_MOMENTUM, codec: 'f32', shareCap: SHARE_CAP, clip: CLIP }
// A step takes tens of milliseconds; five seconds is a client in trouble. A round's end moves a whole trunk.
const CLOCK: ClockSpec = { stepDeadlineMs: 5_000, roundDeadlineMs: 15_000, quorum: 1, peers: 0 }

/** @throws {InvalidParametersError} a setting that is unknown or cannot be */
export function createCharter (options: CharterOptions): Charter {
  const { sharedHeads = [], correctedHeads = [], ...parts } = options.model ?? {}
  const listed = (heads: unknown): unknown => heads === 'all' ? options.tasks.map(task => task.id) : heads
  const inputs = checkInputs(options)
  const input = inputs?.[0] ?? options.input
  const model = parseModelSpec({ ...parts, sharedHeads: listed(sharedHeads), correctedHeads: listed(correctedHeads) }, input, inputs)
  const training = parseTrainingSpec(options.training ?? {})
  if (model.trunk !== 'client') refuseWholeSettings(model, training)
  if (model.kind === 'linear') checkLinear(model, training, options.tasks)
  if (inFlight(training) > 1 && (model.trunk === 'client' || model.sharedEmbedder !== false || model.sharedHeads.length > 0)) {
    throw new InvalidParametersError('training.inFlight above 1 needs private embedders and heads: shared ones are exchanged between two steps', { next: 'set training.inFlight to 1' })
  }
  const projection = { ...PROJECTION, ...options.projection }
  if (!isOutside(projection.rule)) oneOf('projection.rule', projection.rule, ruleNames)
  oneOf('projection.strict', projection.strict, ['gradient', 'update', 'off'])
  oneOf('projection.balance', projection.balance, ['norm', 'none'])
  oneOf('projection.unit', projection.unit, ['client', 'task'])
  oneOf('projection.attention', projection.attention, ATTENTIONS)
  refuseUnknown('projection', projection, [...Object.keys(PROJECTION), 'weighting', 'options'])
  if (projection.weighting !== undefined) checkWeighting(projection, model)
  checkProjectionOptions(projection)
  const merge = { ...MERGE, ...options.merge }
  oneOf('merge.mode', merge.mode, ['select', 'all', 'none'])
  oneOf('merge.codec', merge.codec, ['f32', 'f16', 'bf16', 'int8'])
  refuseUnknown('merge', merge, [...Object.keys(MERGE), 'rule', 'options'])
  if (merge.rule !== undefined) oneOf('merge.rule', merge.rule, ruleNames)
  checkMergeRule(merge, training)
  inRange('merge.rate', merge.rate, rate => rate > 0, 'a number above 0')
  inRange('merge.momentum', merge.momentum, momentum => momentum >= 0 && momentum < 1, 'a number from 0 and below 1')
  inRange('merge.shareCap', merge.shareCap, share => share > 0 && share <= 1, 'a number above 0 and up to 1')
  inRange('merge.clip', merge.clip, clip => clip > 0, 'a number above 0')
  const clock = { ...CLOCK, ...options.clock }
  refuseUnknown('clock', clock, Object.keys(CLOCK))
  if (training.attention !== undefined) refuseCommonSettings(model, merge)
  for (const key of ['stepDeadlineMs', 'roundDeadlineMs'] as const) inRange(`clock.${key}`, clock[key], ms => ms > 0, 'milliseconds above 0')
  inRange('clock.quorum', clock.quorum, clients => Number.isInteger(clients) && clients > 0, 'a whole number from 1')
  inRange('clock.peers', clock.peers, hosts => Number.isInteger(hosts) && hosts >= 0, 'a whole number from 0')
  const cutCodec = options.cutCodec ?? 'f32'
  oneOf('cutCodec', cutCodec, ['f32', 'f16', 'bf16', 'int8'])
  const { tasks } = options
  const bench = options.bench === undefined ? undefined : parseBench(options.bench, { model, training, merge, input })
  if (bench !== undefined) refuseCommonModel(options, inputs)
  const charter: Charter = {
    name: options.name,
    seed: options.seed,
    model,
    training,
    projection,
    merge,
    clock,
    cutCodec,
    input,
    ...inputs === undefined ? {} : { inputs },
    tasks,
    shared: [
      ...model.trunk === 'client' && model.kind !== 'linear' && bench === undefined ? ['trunk'] : [],
      ...(inputs ?? [input]).filter(each => sharesEmbedder(model, each)).map(embedUnit),
      ...model.sharedHeads.map(task => `head/${task}`)
    ],
    ...options.grouping === undefined ? {} : { grouping: parseGrouping(options.grouping, { tasks, model, training }) },
    ...bench === undefined ? {} : { bench }
  }
  return options.method === undefined ? charter : withMethod(charter, options.method)
}

/** @throws {InvalidParametersError} settings that the method leaves no place for */
function withMethod (charter: Charter, raw: Readonly<Record<string, unknown>>): Charter {
  const { model, training, merge, grouping, bench } = charter
  const method = parseMethod(raw)
  if (model.trunk !== 'client' || model.kind === 'linear') throw new InvalidParametersError(`method ${method.name} needs the whole model at the client`, { next: 'set model.trunk to client and leave model.kind out' })
  if (model.backbone.foundation !== undefined && methodOf({ method }).method.foundation !== true) throw new InvalidParametersError(`method ${method.name} begins from the charter's seed, model.foundation from a file`, { next: 'choose another method, or leave model.foundation out' })
  if (merge.mode === 'select') throw new InvalidParametersError(`method ${method.name} cannot judge deltas one by one: merge.mode is all or none`, { next: 'set merge.mode to all' })
  const other = [...(['proximal', 'personal', 'attention', 'serverRate', 'serverMomentum'] as const).filter(key => training[key] !== undefined).map(key => `training.${key}`),
    ...model.privateNorms === undefined ? [] : ['model.privateNorms'], ...grouping === undefined ? [] : ['grouping'], ...bench === undefined ? [] : ['bench']]
  if (other.length > 0) throw new InvalidParametersError(`${other.join(', ')} and method ${method.name} each make something else of the sites' models`, { next: `leave ${other.join(', ')} out` })
  const named = { ...charter, method }
  const { units, up } = exchangeOf(named)
  const most = Math.max(units.size, up.size)
  if (most > MAX_FRAME_TENSORS) throw new InvalidParametersError(`method ${method.name} would exchange ${most} tensors at once, a message has at most ${MAX_FRAME_TENSORS}`, { next: 'choose fewer centres, bases, tasks or layers' })
  return { ...named, shared: [...up.keys()] }
}

/**
 * A charter as it comes from a file or a peer: built again from its parts and refused unless that gives the same charter.
 * @throws {InvalidParametersError} anything that `createCharter` would not have made
 */
export function readCharter (value: unknown): Charter {
  const refusal = (why: string): InvalidParametersError =>
    new InvalidParametersError(`this is no charter: ${why}`, { next: 'make one with `fmtl-node charter --data PATH`' })
  if (value === null || typeof value !== 'object') throw refusal('not an object')
  const { name, seed, input, inputs, tasks, model, training, projection, merge, clock, cutCodec, grouping, method, bench } = value as Partial<Charter>
  if (typeof name !== 'string' || !Number.isInteger(seed) || input === undefined || !Array.isArray(tasks) || model === undefined || training === undefined) {
    throw refusal('name, seed, input, tasks, model and training are needed')
  }
  const { backbone, ...parts } = model
  const charter = createCharter({
    name,
    seed: seed as number,
    input,
    ...inputs === undefined ? {} : { inputs },
    tasks,
    model: { ...backbone, ...parts },
    training: { ...training },
    ...projection === undefined ? {} : { projection },
    ...merge === undefined ? {} : { merge },
    ...clock === undefined ? {} : { clock },
    ...cutCodec === undefined ? {} : { cutCodec },
    ...grouping === undefined ? {} : { grouping },
    ...method === undefined ? {} : { method },
    ...bench === undefined ? {} : { bench }
  })
  if (canonicalJson(charter) !== canonicalJson(value)) throw refusal('it holds settings that are unknown or do not fit together')
  return charter
}

/** What both ends of an attachment must agree on. Clocks and codecs may differ from site to site. */
export function charterHash (charter: Charter): string {
  const { seed, input, inputs, tasks, model, training, projection, merge, shared, grouping, method, bench } = charter
  const { codec, ...agreed } = merge
  return specHash({ seed, input, ...inputs === undefined ? {} : { inputs }, tasks, model, training, projection, merge: agreed, shared, ...grouping === undefined ? {} : { grouping }, ...method === undefined ? {} : { method }, ...bench === undefined ? {} : { bench } })
}

function checkWeighting ({ weighting, unit, balance }: ProjectionSpec, model: ModelSpec): void {
  oneOf('projection.weighting', String(weighting), weightingNames)
  if (model.trunk === 'client') throw new InvalidParametersError('projection.weighting needs a split model: a whole one sums its losses inside', { next: 'set model.trunk to host, or leave weighting out' })
  if (unit === 'task' && balance === 'norm') throw new InvalidParametersError('projection.weighting has no effect on a row per task that balance brings to one length', { next: 'set projection.unit to client, or projection.balance to none' })
}

/** @throws {InvalidParametersError} a setting of whole models where the model is split */
function refuseWholeSettings (model: ModelSpec, training: TrainingSpec): void {
  const only = (['localSteps', 'proximal', 'personal', 'attention', 'serverRate', 'serverMomentum'] as const).filter(key => training[key] !== undefined).map(key => `training.${key}`)
  const [first] = [...only, ...model.privateNorms === undefined ? [] : ['model.privateNorms']]
  if (first !== undefined) throw new InvalidParametersError(`${first} needs the whole model at the client`, { next: `set model.trunk to client, or leave ${first} out` })
}

/** @throws {InvalidParametersError} a setting of one model for all where every site keeps its own */
function refuseCommonSettings (model: ModelSpec, merge: MergeSpec): void {
  if (merge.mode !== 'none') throw new InvalidParametersError(`merge.mode ${merge.mode} needs a model that hosts have in common, training.attention leaves none`, { next: 'set merge.mode to none' })
  if (model.privateNorms === true) throw new InvalidParametersError('model.privateNorms has no effect with training.attention: all of a model is its site\'s', { next: 'leave it out' })
}

/** @throws {InvalidParametersError} a section for a model that sites train together where they trade models of their own */
function refuseCommonModel ({ grouping, method }: CharterOptions, inputs: readonly InputSpec[] | undefined): void {
  const other = grouping !== undefined ? 'grouping' : method !== undefined ? 'method' : undefined
  if (other !== undefined) throw new InvalidParametersError(`${other} is for a model that sites train together, and a bench has none`, { next: `leave ${other} or bench out` })
  if (inputs !== undefined) throw new InvalidParametersError('bench lets models of one site answer rows of another, and here rows have different inputs', { next: 'choose data of one input, or another strategy' })
}

/** @throws {InvalidParametersError} a setting or a task that a linear model has no place for */
function checkLinear ({ sharedHeads }: ModelSpec, training: TrainingSpec, tasks: readonly TaskSpec[]): void {
  const foreign = tasks.find(({ kind }) => !LINEAR_KINDS.includes(kind))
  if (foreign !== undefined) throw new InvalidParametersError(`model.kind linear answers once per row, task ${foreign.id} (${foreign.kind}) has more labels`, { next: 'choose other tasks, or leave model.kind out' })
  const alone = tasks.find(({ id }) => !sharedHeads.includes(id))
  if (alone !== undefined) throw new InvalidParametersError(`model.kind linear shares all heads, ${alone.id} is private`, { next: 'set model.sharedHeads to all' })
  if (training.optimiser !== 'sgd') throw new InvalidParametersError('model.kind linear takes plain gradient steps, which add up to those of one site with all rows', { next: 'set training.optimiser to sgd' })
  const only = (['localSteps', 'proximal', 'personal', 'attention'] as const).find(key => training[key] !== undefined)
  if (only !== undefined) throw new InvalidParametersError(`training.${only} has no place where model.kind is linear: a step is one gradient over all rows`, { next: `leave ${only} out` })
}

function inRange (name: string, value: number, fits: (value: number) => boolean, what: string): void {
  if (!Number.isFinite(value) || !fits(value)) throw new InvalidParametersError(`${name} must be ${what}, got ${String(value)}`)
}

function oneOf (name: string, value: string, known: readonly string[]): void {
  if (!known.includes(value)) throw new InvalidParametersError(`${name} cannot be '${value}'`, { next: `use one of ${known.join(', ')}` })
}
