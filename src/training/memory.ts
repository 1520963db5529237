/**
 * How much memory a trainer will need, worked out before it is built: a node refuses work that it cannot hold instead of
 * dying of it half-way. Counted are 32-bit numbers:
 *
 *     host     16 sets of the trunk and the shared units: weights here and at the backend, a second executor for candidates,
 *              two moments, anchor, velocity, update, history, and what a round's end holds of candidates and deltas
 *            + per client: two gradients (as it came, and balanced), and what forward keeps for backward, up to a limit
 *            + one pass: the most that the backward of clients together, or an evaluation of 128 rows, has alive at once
 *     client   the rows
 *            + 5 sets of embedder and heads, and of the whole model for each local model: weights here and at the backend,
 *              two moments, gradient
 *            + one step left open, and the largest pass of a local step or an evaluation; or, after the last step, what the
 *              simple model is fitted with, where that is more
 *            + predictions of 9 candidates on hold-out and test rows
 *
 * Where the charter places the trunk at the client, a host computes no pass and holds one set of changes per client; a client
 * holds 7 sets of the whole model (also the values that all agree on, and changes on their way) and leaves no step open; where
 * it measures what tasks do to each other, a gradient for each of its tasks more, and weights to look ahead with. With
 * attention a host holds every client's model beside it and a client its anchor.
 *
 * A site that trades models is a client of each architecture, and holds the answers of a full bench.
 *
 * A linear model is its units alone; its training rows are read once and kept, in the sparse form the simple model has.
 *
 * The program itself, some 100 to 300 MiB by rung, is not counted: it is there already when the trainer is built.
 */
import { InvalidParametersError, ResourceError } from '../errors.ts'
import { EVALUATION_ROWS } from './evaluation.ts'
import { architecturesOf } from '../bench/spec.ts'
import { buildTrunk } from '../models/trunk.ts'
import { composeModel } from '../models/whole.ts'
import { createCorrection, createHead } from '../models/head.ts'
import { embedderOf, mostTokens } from '../models/inputs.ts'
import { partGraphs } from '../models/units.ts'
import { differentiate } from '../graph/gradients.ts'
import { elements } from '../tensor/tensor.ts'
import { linearUnits } from '../models/linear.ts'
import { exchangeOf, trafficOf } from '../methods/index.ts'
import { inFlight } from './spec.ts'
import { numbersOf, resolveShape } from '../graph/graph.ts'
import { simpleFloats } from './simple/index.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { Node } from '../graph/graph.ts'
import type { Program } from '../graph/gradients.ts'

export interface MemoryEstimate {
  readonly bytes: number
  /** Where it goes, in words. */
  readonly parts: string
}

const FLOAT_BYTES = 4
const HOST_SETS = 16
const CLIENT_SETS = 5
const WHOLE_SETS = 7
const CANDIDATES = 9
/** Models that a site which trades them keeps to ask those of others, in weights of its own models, and copies of each weight. */
export const GUESTS = 2
const GUEST_SETS = 2
/** 32-bit numbers per entry of a row in sparse form: column and value, while they are collected and kept. */
const SPARSE_FLOATS = 9
const MIB = 2 ** 20

/** Clients whose rows go through the trunk together: enough to keep both cores of a small machine busy inside every operation. */
export const MAX_SHARES = 8
/** Numbers that a host's forward passes may keep for their backward, 1 GiB at most; beyond it passes compute once more. */
const KEPT_FLOATS = 2 ** 28
/** And no more than this share of its memory. */
const KEPT_SHARE = 0.25

export function keptLimit (memoryBytes: number): number {
  return Math.min(KEPT_FLOATS, KEPT_SHARE * memoryBytes / FLOAT_BYTES)
}

/**
 * @param slots - clients that may be attached at once
 * @param memoryBytes - what the host may use
 */
export function estimateHost (charter: Charter, slots: number, memoryBytes = Infinity): MemoryEstimate {
  const { model, training, shared } = charter
  if (model.kind === 'linear') {
    const parameters = wholeParameters(charter)
    return sum({ weights: HOST_SETS * parameters, [`${slots} clients`]: slots * parameters })
  }
  if (charter.method !== undefined) {
    const { up, down } = trafficOf(charter)
    return sum({ weights: HOST_SETS * numbersOf(exchangeOf(charter).units), [`${slots} clients`]: slots * (up + down) })
  }
  const trunk = buildTrunk(model.backbone)
  const units = [...partGraphs(charter)].filter(([name]) => shared.includes(name)).map(([, graph]) => graph)
  const parameters = [trunk, ...units].reduce((sum, graph) => sum + graph.parameterCount, 0)
  const tokens = mostTokens(model, charter)
  if (model.trunk === 'client') return sum({ weights: HOST_SETS * parameters, [`${slots} clients`]: slots * (training.attention === undefined ? 1 : 2) * parameters })
  const step = pass(differentiate(trunk, ['activations']), sizes(training.batch, tokens))
  const evaluation = pass(differentiate(trunk, []), sizes(EVALUATION_ROWS, tokens))
  const weights = HOST_SETS * parameters
  const clients = slots * 2 * parameters + Math.min(slots * inFlight(training) * step.kept, keptLimit(memoryBytes))
  const working = Math.max(Math.min(slots, MAX_SHARES) * (step.peak - step.kept), evaluation.forward)
  return sum({ weights, [`${slots} clients`]: clients, 'one pass': working })
}

/** @param locals - models that the site trains alone, to compare with */
export function estimateClient (charter: Charter, data: ClientData, locals: number): MemoryEstimate {
  const { model, training } = charter
  if (model.kind === 'linear') {
    return sum({
      rows: rowFloats(data.train) + rowFloats(data.holdout) + rowFloats(data.test),
      weights: WHOLE_SETS * numbersOf(linearUnits(data.input, data.tasks)),
      'one step': SPARSE_FLOATS * data.train.x.length + (locals > 0 ? simpleFloats(data) : 0),
      predictions: predictionFloats(data)
    })
  }
  const embedder = embedderOf(model, data.input)
  const heads = new Map(data.tasks.map(task => [task.id, createHead(task, embedder, model.backbone.width, model.adapter).graph]))
  const program = differentiate(composeModel({ embedder: embedder.graph, trunk: buildTrunk(model.backbone), heads, tokens: embedder.tokens }), [])
  const whole = program.graph.parameterCount
  const corrections = data.tasks.filter(task => model.correctedHeads?.includes(task.id) === true).map(task => createCorrection(task, embedder, model.backbone.width).graph)
  const parts = [embedder.graph, ...heads.values(), ...corrections].reduce((total, graph) => total + graph.parameterCount, 0)
  const at = sizes(Math.min(training.batch, data.train.count), embedder.tokens)
  const split = model.trunk !== 'client'
  const open = split ? pass(differentiate(embedder.graph, []), at).kept : 0
  const largest = Math.max(pass(program, at).peak, pass(program, sizes(EVALUATION_ROWS, embedder.tokens)).forward)
  return sum({
    rows: rowFloats(data.train) + rowFloats(data.holdout) + rowFloats(data.test),
    weights: CLIENT_SETS * (split ? parts : 0) + (WHOLE_SETS + (training.attention === undefined ? 0 : 1)) * (split ? 0 : whole) +
      CLIENT_SETS * (locals + (training.personal === undefined ? 0 : 1)) * whole + (charter.grouping === undefined ? 0 : (data.tasks.length + 1) * whole) + (charter.method === undefined ? 0 : WHOLE_SETS * numbersOf(exchangeOf(charter).units)),
    'one step': Math.max(open + largest, locals > 0 ? simpleFloats(data) : 0),
    predictions: predictionFloats(data)
  })
}

/**
 * A site that trades models: what it trains of each architecture, what peers' weights go through, and the answers of a full
 * bench. The rows are counted with every architecture, which is too many rather than too few.
 * @throws {InvalidParametersError} the charter has no bench section
 */
export function estimatePeer (charter: Charter, data: ClientData): MemoryEstimate {
  const { bench, model, input } = charter
  if (bench === undefined) throw new InvalidParametersError('this charter has no bench section', { next: 'make one with --strategy fedpae' })
  const models = architecturesOf(bench, model, input).map(architecture => ({ ...charter, model: architecture.model }))
  const own = models.map(of => estimateClient(of, data, 0))
  const guests = FLOAT_BYTES * GUESTS * GUEST_SETS * models.reduce((sum, of) => sum + wholeParameters(of), 0)
  const answers = FLOAT_BYTES * bench.cap / CANDIDATES * predictionFloats(data)
  return {
    bytes: own.reduce((total, { bytes }) => total + bytes, guests + answers),
    parts: `${own.map(({ parts }, i) => `model ${i + 1}: ${parts}`).join('; ')}; models of others ${(guests / MIB).toFixed(1)}, their answers ${(answers / MIB).toFixed(1)}`
  }
}

/** Numbers in a whole model of the charter, with an embedder for every input and a head for every task. */
export function wholeParameters (charter: Charter): number {
  const { model, input, tasks } = charter
  if (model.kind === 'linear') return numbersOf(linearUnits(input, tasks))
  return buildTrunk(model.backbone).parameterCount + numbersOf(partGraphs(charter))
}

/** @throws {ResourceError} more is needed than there is; nothing has been allocated */
export function expectRoom (what: string, { bytes, parts }: MemoryEstimate, limitBytes: number): void {
  if (bytes <= limitBytes) return
  const needed = Math.ceil(bytes / MIB)
  throw new ResourceError(`${what} of this model needs about ${needed} MiB (${parts}), ${Math.floor(limitBytes / MIB)} MiB may be used`,
    { next: `allow ${needed} MiB with --memory, or make model.width, model.layers, training.batch or the number of rows smaller` })
}

function sum (floats: Readonly<Record<string, number>>): MemoryEstimate {
  const entries = Object.entries(floats)
  return {
    bytes: FLOAT_BYTES * entries.reduce((total, [, count]) => total + count, 0),
    parts: entries.map(([name, count]) => `${name} ${(FLOAT_BYTES * count / MIB).toFixed(1)}`).join(', ')
  }
}

/** Numbers that a forward pass over `rows` rows keeps for its backward. */
export function keptFloats ({ nodes, saved }: Program, rows: number, tokens: number): number {
  const at = sizes(rows, tokens)
  return saved.reduce((total, id) => {
    const { op, shape } = nodes[id] as Node
    return op.kind === 'parameter' ? total : total + elements(resolveShape(shape, at))
  }, 0)
}

function sizes (rows: number, tokens: number): ReadonlyMap<string, number> { return new Map([['B', rows], ['N', tokens]]) }

function predictionFloats ({ holdout, test, tasks }: ClientData): number {
  return CANDIDATES * (holdout.count + test.count) * tasks.reduce((total, task) => total + elements(task.positions) * task.channels, 0)
}

function rowFloats ({ x, y }: Rows): number { return x.length + Object.values(y).reduce((total, values) => total + values.length, 0) }

/** Numbers alive in the passes of a program: what forward keeps, the most that forward alone and both together have. */
function pass (program: Program, at: ReadonlyMap<string, number>): { kept: number, forward: number, peak: number } {
  const { nodes, forwardCount } = program
  const size = nodes.map(node => node.op.kind === 'parameter' ? 0 : elements(resolveShape(node.shape, at)))
  const saved = new Set(program.saved)
  const most = (from: number, to: number, keep: ReadonlySet<number>): number => {
    const last = new Map<number, number>()
    for (let id = from; id < to; id++) for (const input of nodes[id]?.inputs ?? []) last.set(input, id)
    let [alive, peak] = [0, 0]
    for (let id = from; id < to; id++) {
      alive += size[id] as number
      peak = Math.max(peak, alive)
      for (const input of new Set(nodes[id]?.inputs)) if (input >= from && last.get(input) === id && !keep.has(input)) alive -= size[input] as number
    }
    return peak
  }
  const kept = [...saved].reduce((total, id) => total + (size[id] as number), 0)
  return {
    kept,
    forward: most(0, forwardCount, new Set()),
    peak: Math.max(most(0, forwardCount, saved), kept + most(forwardCount, nodes.length, new Set()))
  }
}
