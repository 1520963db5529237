/**
 * What a site sends and receives, worked out from the frames of src/backbone/frames.ts before anything runs: for a split
 * model activations and gradients at the cut, for a whole one what local training changed. A frame's size is asked of
 * whoever knows the wire: `payloadBytes` counts as the simulator does, `frameBytes` of protocols/split-step as a stream
 * does. Signs of life and late steps are left out.
 */
import { EVALUATION_ROWS } from '../training/evaluation.ts'
import { createHead } from '../models/head.ts'
import { embedUnit, embedderOf, inputOf, inputsOf } from '../models/inputs.ts'
import { buildTrunk } from '../models/trunk.ts'
import { exchangeOf, trafficOf } from '../methods/index.ts'
import { encodedBytes, packedBytes } from '../compression/index.ts'
import { elements } from '../tensor/tensor.ts'
import { sharedUnits } from '../training/client-description.ts'
import { linearUnits } from '../models/linear.ts'
import { totalSteps } from '../training/spec.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientDescription } from '../training/client-description.ts'
import type { CodecName } from '../compression/index.ts'
import type { Frame, FrameKind, RoundReport, TaskLoss } from '../backbone/frames.ts'
import type { NamedTensor } from '../tensor/tensor.ts'

/** Of one frame as it crosses, from its shapes: the data of a planned frame is not there. */
export type FrameBytes = (frame: Frame, codec: CodecName) => number

export interface Traffic {
  readonly up: number
  readonly down: number
}

/** Floats of every part of the model that a site trains. */
export interface ModelFloats {
  readonly trunk: number
  /** By unit name: 'embed/<input>', 'head/<task>'. */
  readonly parts: Readonly<Record<string, number>>
}

/** Tensors alone, without what is around them. */
export const payloadBytes: FrameBytes = ({ tensors, codec }, channelCodec) =>
  tensors.reduce((sum, { tensor }) => sum + encodedBytes(codec ?? channelCodec, elements(tensor.shape)), 0)

/** @param tasks - those of the site */
export function modelFloats (charter: Charter, tasks: readonly string[]): ModelFloats {
  const { model, input } = charter
  const heads = charter.tasks.filter(({ id }) => tasks.includes(id))
  if (model.kind === 'linear') return { trunk: 0, parts: Object.fromEntries([...linearUnits(input, heads)].map(([name, { parameterCount }]) => [name, parameterCount])) }
  const read = heads.length === 0 ? [input] : inputsOf(charter).filter(each => heads.some(task => inputOf(charter, task) === each))
  return {
    trunk: buildTrunk(model.backbone).parameterCount,
    parts: {
      ...Object.fromEntries(read.map(each => [embedUnit(each), embedderOf(model, each).graph.parameterCount])),
      ...Object.fromEntries(heads.map(task => [`head/${task.id}`, createHead(task, embedderOf(model, inputOf(charter, task)), model.backbone.width, model.adapter).graph.parameterCount]))
    }
  }
}

/** Floats that a host keeps and exchanges with others: the trunk, and whatever else is shared. */
export function hostUnits (charter: Charter): Readonly<Record<string, number>> {
  if (charter.method !== undefined) return Object.fromEntries([...exchangeOf(charter).units].map(([name, { parameterCount }]) => [name, parameterCount]))
  const { trunk, parts } = modelFloats(charter, charter.tasks.map(({ id }) => id))
  return { trunk, ...Object.fromEntries(charter.shared.flatMap(unit => unit === 'trunk' ? [] : [[unit, parts[unit] as number]])) }
}

/** A host's delta of one round as it is published, and 4 |W|, which it would be before compression; nothing where hosts never meet. */
export function gossipBytes (charter: Charter, otherHosts: number): { readonly packed: number, readonly exact: number } {
  if (otherHosts === 0 || charter.merge.mode === 'none') return { packed: 0, exact: 0 }
  const units = hostUnits(charter)
  return { packed: packedBytes(units, charter.merge.codec), exact: encodedBytes('f32', Object.values(units).reduce((sum, floats) => sum + floats, 0)) }
}

/** A step number of two bytes, as nearly all are. */
const TYPICAL_STEP = 200
/** A peer id in text. */
const TYPICAL_PEER = 'x'.repeat(52)

export class TrafficPlan {
  readonly #charter: Charter
  readonly #site: ClientDescription
  readonly #codec: CodecName
  readonly #sizeOf: FrameBytes
  readonly #shared: readonly NamedTensor[]
  /** What the charter's method tells a site, as one. */
  readonly #told: readonly NamedTensor[]

  /** @param site - of this charter or of one for the same model: which units are shared is the charter's to say */
  constructor (charter: Charter, site: ClientDescription, init: { codec: CodecName, sizeOf: FrameBytes }) {
    this.#charter = charter
    this.#site = site
    this.#codec = init.codec
    this.#sizeOf = init.sizeOf
    const { trunk, parts } = modelFloats(charter, site.tasks)
    const method = charter.method === undefined ? undefined : trafficOf(charter)
    this.#told = method === undefined ? [] : [blank('told', [method.down])]
    this.#shared = method !== undefined ? [blank('sent', [method.up])] : sharedUnits(charter, site.tasks).map(name => blank(name, [name === 'trunk' ? trunk : parts[name] as number]))
  }

  /** One step of the host's clock: a mini-batch through the cut, or what local training changed. */
  step (): Traffic {
    const { batch, tasks } = this.#site
    const losses = tasks.map(task => ({ task, loss: 1, samples: batch }))
    return this.#whole
      ? { up: this.#size('share', this.#shared, { losses }), down: this.#charter.method === undefined ? this.#size('step', this.#shared, { code: 'change' }) : this.#size('step', this.#told, { code: 'told', codec: 'f32' }) }
      : this.#splitStep(losses)
  }

  /** The end of a round with this many other hosts: candidates judged on the hold-out, what hosts agreed on, and the report. */
  roundEnd (otherHosts: number): Traffic {
    const votes = this.#charter.merge.mode === 'select' ? candidates(otherHosts, this.#charter.merge.rule !== undefined) : 0
    const holdout = this.#whole ? NOTHING : this.#evaluation(this.#site.samples.holdout, TYPICAL_PEER)
    const score = { candidate: TYPICAL_PEER, loss: 1, samples: this.#site.samples.holdout, difference: 1, standardError: 1 }
    const about = { round: 1, candidate: TYPICAL_PEER }
    const exact = this.#whole ? { codec: 'f32' as const } : {}
    return {
      up: votes * (holdout.up + this.#size('eval-result', [], { ...about, scores: [score] })),
      down: votes * (holdout.down + this.#size('eval', this.#shared, { ...about, ...exact })) +
        this.#size('round', [], { round: 1, report: typicalReport(otherHosts) }) + this.#merged(otherHosts)
    }
  }

  /** Steps and the end of a round. */
  round (otherHosts: number): Traffic {
    return sum([times(this.step(), this.#charter.training.stepsPerRound), this.roundEnd(otherHosts)])
  }

  /** From attaching to leaving, the final evaluation on hold-out and test rows included. */
  run (otherHosts: number): Traffic {
    const { samples: { holdout, test } } = this.#site
    return sum([
      times(this.step(), totalSteps(this.#charter.training)),
      times(this.roundEnd(otherHosts), this.#charter.training.rounds),
      ...this.#whole ? [] : [this.#evaluation(holdout, 'final'), this.#evaluation(test, 'final')],
      // start values of a whole model follow from the seed
      { up: this.#size('leave', [], { code: 'done', reason: 'training is complete' }), down: this.#whole || this.#shared.length === 0 ? 0 : this.#size('step', this.#shared) }
    ])
  }

  /** The largest frame of a training step: the wire has a limit. */
  get largestFrameBytes (): number {
    const { batch, cut } = this.#site
    const cutFrame = this.#whole ? 0 : this.#size('features', [blank('features', [batch, ...cut])])
    return Math.max(cutFrame, this.#told.length === 0 ? 0 : this.#size('step', this.#told, { codec: 'f32' }), this.#shared.length === 0 ? 0 : this.#size('step', this.#shared, this.#whole ? { codec: 'f32' } : {}))
  }

  get #whole (): boolean { return this.#charter.model.trunk === 'client' }

  #splitStep (losses: readonly TaskLoss[]): Traffic {
    const { batch, cut, tasks } = this.#site
    const shape = [batch, ...cut]
    const gradients = this.#charter.projection.unit === 'task' ? tasks.map(task => `task/${task}`) : ['client']
    const shares = this.#shared.length > 0
    return {
      up: this.#size('forward', [blank('activations', shape)]) +
        this.#size('grads', gradients.map(name => blank(name, shape)), { losses }) +
        (shares ? this.#size('share', this.#shared) : 0),
      down: this.#size('features', [blank('features', shape)]) +
        this.#size('emb-grad', [blank('activations', shape)]) +
        (shares ? this.#size('step', this.#shared) : 0)
    }
  }

  /**
   * After a merge whole models get exact values where a change would have come (src/federation/whole-step.ts). A merge that
   * clients turn down is followed by the change: with a codec, fewer bytes than this.
   */
  #merged (otherHosts: number): number {
    if (!this.#whole || this.#charter.method !== undefined || otherHosts === 0 || this.#charter.merge.mode === 'none') return 0
    return this.#size('step', this.#shared, { codec: 'f32' }) - this.step().down
  }

  /** Rows through a candidate trunk, in the pieces in which a client sends them. */
  #evaluation (rows: number, candidate: string): Traffic {
    const pieces = Array.from({ length: Math.ceil(rows / EVALUATION_ROWS) }, (_, i) => Math.min(EVALUATION_ROWS, rows - i * EVALUATION_ROWS))
    return sum(pieces.map(count => {
      const shape = [count, ...this.#site.cut]
      return {
        up: this.#size('eval-forward', [blank('activations', shape)], { candidate }),
        down: this.#size('eval-features', [blank('features', shape)], { candidate })
      }
    }))
  }

  #size (kind: FrameKind, tensors: readonly NamedTensor[], rest: Partial<Frame> = {}): number {
    return this.#sizeOf({ kind, step: TYPICAL_STEP, tensors, ...rest }, this.#codec)
  }
}

const NOTHING: Traffic = { up: 0, down: 0 }

/**
 * The own trunk, each peer's delta merged into it, with several peers all of them, and what a rule makes of them
 * (src/federation/merge-decision.ts).
 */
function candidates (otherHosts: number, rule: boolean): number {
  return otherHosts === 0 ? 0 : 1 + otherHosts + (otherHosts > 1 ? 1 : 0) + (rule ? 1 : 0)
}

/** A planned tensor has a shape and no data: a trunk of gigabytes can be planned for. */
function blank (name: string, shape: readonly number[]): NamedTensor { return { name, tensor: { shape, data: NO_DATA } } }

const NO_DATA = new Float32Array(0)

function typicalReport (otherHosts: number): RoundReport {
  const hosts = Array.from({ length: otherHosts + 1 }, () => TYPICAL_PEER)
  return {
    host: TYPICAL_PEER,
    round: 1,
    steps: 20,
    seconds: 1,
    contributors: [TYPICAL_PEER],
    missing: [],
    pairs: 100,
    conflictPairs: 10,
    meanCosine: 0.1,
    minCosine: -0.1,
    removedShare: 0.1,
    minDirectionCosine: 0.1,
    minUpdateCosine: 0.1,
    merged: hosts,
    mergeReason: 'x'.repeat(Math.min(256, 40 + 80 * otherHosts)),
    ...otherHosts === 0 ? {} : { between: { hosts: otherHosts + 1, pairs: 1, conflictPairs: 1, meanCosine: 0.1, minCosine: -0.1, removedShare: 0.1, minDirectionCosine: 0.1 } },
    bytesUp: 2 ** 20,
    bytesDown: 2 ** 20,
    final: false
  }
}

export function times ({ up, down }: Traffic, factor: number): Traffic { return { up: up * factor, down: down * factor } }

export function sum (parts: readonly Traffic[]): Traffic {
  return parts.reduce((total, { up, down }) => ({ up: total.up + up, down: total.down + down }), { up: 0, down: 0 })
}
