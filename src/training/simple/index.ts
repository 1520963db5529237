/**
 * The simple local model of a site: linear, convex, fitted in seconds and free of chance. It is the competitor that a deep or
 * a federated model has to beat, and a candidate of the site's committee. By input and kind of task:
 *
 *     pictures, tables, series    logistic regression for classes, ridge regression for numbers and directions
 *     tokens                      the same on TF-IDF of the words; for a label per token a linear tagger
 *
 * One fit of a client takes 15 to 130 ms of processor time on tables, texts and small pictures, .8 s on 64 x 64 in colour, 1.9 s
 * for the tagger of 36 classes (recipes' rows). A label per pixel has no simple model here. What it puts out lies in the space of a head's linked outputs, so that the two
 * can be averaged. It is fitted on the training rows; `refit` fits it again on training and hold-out rows, with the strengths
 * found before: for serving, since no figure on hold-out rows is honest after that.
 */
import { concatRows } from '../../data/pool.ts'
import { createTask } from '../../tasks/index.ts'
import { elements } from '../../tensor/tensor.ts'
import { EVALUATION_ROWS, joinRows } from '../evaluation.ts'
import { logisticProbabilities, solveLogistic } from './logistic.ts'
import { MAX_SIDE, ridgeValues, solveRidge } from './ridge.ts'
import { numericEncoder, takeRows } from './rows.ts'
import { taggerEncoder } from './tagger.ts'
import { tfidfEncoder } from './tfidf.ts'
import type { ClientData, Rows } from '../../data/dataset.ts'
import type { Encoder, SparseRows } from './rows.ts'
import type { Ridge } from './ridge.ts'
import type { TaskSpec } from '../../tasks/task.ts'
import type { TensorData } from '../../tensor/tensor.ts'

export interface SimpleModel {
  /** Everything it learned, per task: as private as the rows. */
  readonly weights: ReadonlyMap<string, Float32Array>
  /** Linked outputs per task, [rows, positions, channels]; no task where there are no rows. */
  predict (rows: Rows): ReadonlyMap<string, TensorData>
  /** The same strengths, fitted on training and hold-out rows. */
  refit (): SimpleModel
}

export interface SimpleFit {
  /** Undefined where a task has none: a committee compares models of all of a client's tasks. */
  readonly model: SimpleModel | undefined
  /** What was taken, or why nothing was. */
  readonly line: string
}

/**
 * C of the logistic regressions, for rows of a length of about 1; fixed, so that the hold-out has no say in the candidate it
 * judges.
 */
export const LOGISTIC_C = 10
/** Lambdas that ridge chooses from by its error on the hold-out, strong first: of equals the stronger is taken. */
export const RIDGE_LAMBDAS = [100, 10, 1, 0.1, 0.01, 0.001] as const
/** Where there is no hold-out. */
const DEFAULT_LAMBDA = 0.1

/** Numbers in the encoded rows: 100 MB. */
const MAX_NUMBERS = 2 ** 23
/** Weights of a logistic regression: with the steps that its solver remembers, 90 MB. */
const MAX_WEIGHTS = 2 ** 19

/** 32-bit numbers per entry of an encoded row: column and value, there while rows are collected, encoded and picked. */
const ENTRY_FLOATS = 9
/** Vectors of 64-bit numbers that the logistic solver holds per weight: six pairs of steps, and six of its own. */
const SOLVER_VECTORS = 18

/** 32-bit numbers that fitting takes at its most; 0 where there is no simple model. An upper bound: known classes are fewer. */
export function simpleFloats ({ input, tasks, train, holdout }: ClientData): number {
  if (tasks.some(({ kind }) => kind.startsWith('dense-'))) return 0
  const rows = train.count + holdout.count
  const { shape: [length = 0, slots = 1], buckets = 1 } = input
  const size = elements(input.shape)
  return Math.max(0, ...tasks.map(({ kind, channels }) => {
    const text = input.modality === 'tokens'
    const tagger = kind === 'token-classes'
    const entries = tagger ? 3 * rows * length * slots : rows * (text ? length : size)
    const columns = tagger ? Math.min(3 * buckets + 3, entries) : text ? Math.min(buckets, rows * length) : size
    const solver = kind === 'classes' || tagger
      ? 2 * SOLVER_VECTORS * Math.min(MAX_WEIGHTS, columns * Math.min(channels, entries))
      : 2 * (rows * columns + 2 * Math.min(MAX_SIDE, rows, columns) ** 2)
    return ENTRY_FLOATS * Math.min(MAX_NUMBERS, entries) + solver
  }))
}

/** What is found on the hold-out and kept for a second fit: lambda per output of a task. */
type Strengths = ReadonlyMap<string, readonly number[]>

interface TaskFit {
  readonly weights: Float32Array
  readonly strengths: readonly number[]
  readonly kind: string
  predict (rows: Rows): TensorData
}

/** Thrown inside and turned into the line: a set that is too large for a closed form is no error. */
class TooLarge extends Error {}

export function fitSimple (data: ClientData): SimpleFit {
  const dense = data.tasks.find(task => task.kind.startsWith('dense-'))
  if (dense !== undefined) return { model: undefined, line: `no simple model: task ${dense.id} has a label per pixel` }
  try {
    const { before } = data
    const known = before === undefined ? undefined : strengthsOf(fitTasks({ ...data, ...before }, before.train))
    const fits = fitTasks(data, data.train, known)
    const strengths = strengthsOf(fits)
    return {
      model: modelOf(fits, () => modelOf(fitTasks(data, concatRows([data.train, data.holdout]), strengths))),
      line: `simple model: ${[...fits].map(([id, { kind }]) => `${kind} for ${id}`).join(', ')}, ${data.train.count} rows`
    }
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error
    return { model: undefined, line: `no simple model: ${error.message}` }
  }
}

function strengthsOf (fits: ReadonlyMap<string, TaskFit>): Strengths { return new Map([...fits].map(([id, { strengths }]) => [id, strengths])) }

function modelOf (fits: ReadonlyMap<string, TaskFit>, refit?: () => SimpleModel): SimpleModel {
  const model: SimpleModel = {
    weights: new Map([...fits].map(([id, fit]) => [id, fit.weights])),
    predict: rows => new Map(rows.count === 0 ? [] : [...fits].map(([id, fit]) => [id, fit.predict(rows)])),
    refit: () => refit === undefined ? model : refit()
  }
  return model
}

function fitTasks (data: ClientData, rows: Rows, strengths?: Strengths): ReadonlyMap<string, TaskFit> {
  const width = elements(data.input.shape)
  if (data.input.modality !== 'tokens' && rows.count * width > MAX_NUMBERS) throw new TooLarge(`${rows.count} rows of ${width} numbers are more than it is made for`)
  const encoder = data.input.modality === 'tokens' ? tfidfEncoder(data.input, rows.x, rows.count) : numericEncoder(data.input, rows.x, rows.count)
  return new Map(data.tasks.map(task => {
    if (task.kind === 'token-classes') return [task.id, fitTagger(data, task, rows)]
    const encoded = encoder.encode(rows.x, rows.count)
    const text = data.input.modality === 'tokens' ? ' on TF-IDF' : ''
    if (task.kind === 'classes') return [task.id, fitClasses(task, encoder, encoded, rows, `logistic regression${text}`)]
    return [task.id, fitNumbers(data, task, encoder, encoded, rows, `ridge regression${text}`, strengths?.get(task.id))]
  }))
}

function fitTagger ({ input }: ClientData, task: TaskSpec, rows: Rows): TaskFit {
  if (rows.x.length * 3 > MAX_NUMBERS) throw new TooLarge(`${rows.count} texts of ${elements(input.shape)} features are more than it is made for`)
  const y = rows.y[task.id] as Float32Array
  const encoder = taggerEncoder(input, rows.x, rows.count, token => (y[token] as number) >= 0)
  return fitClasses(task, encoder, encoder.encode(rows.x, rows.count), rows, 'linear tagger')
}

function fitClasses (task: TaskSpec, encoder: Encoder, encoded: SparseRows, rows: Rows, kind: string): TaskFit {
  const y = rows.y[task.id] as Float32Array
  const labelled = [...y.keys()].filter(at => (y[at] as number) >= 0)
  const labels = labelled.map(at => y[at] as number)
  const weights = new Set(labels).size * encoder.columns
  if (weights > MAX_WEIGHTS) throw new TooLarge(`${weights} weights for ${task.id} are more than it is made for`)
  const solved = solveLogistic(takeRows(encoded, labelled), labels, { classes: task.channels, c: LOGISTIC_C })
  return {
    kind,
    strengths: [],
    weights: Float32Array.from(solved.weights),
    predict: chunked(task, encoder, part => logisticProbabilities(solved, part))
  }
}

function fitNumbers (data: ClientData, task: TaskSpec, encoder: Encoder, encoded: SparseRows, rows: Rows, kind: string, known: readonly number[] | undefined): TaskFit {
  const outputs = Array.from({ length: task.channels }, (_, channel): { ridge: Ridge, lambda: number } => {
    const targets = targetsOf(task, rows, channel)
    if (Math.min(targets.rows.length, encoder.columns) > MAX_SIDE) throw new TooLarge(`${targets.rows.length} rows of ${encoder.columns} columns are more than a closed form is for`)
    const lambdas = known === undefined ? RIDGE_LAMBDAS : [known[channel] as number]
    const ridges = solveRidge(takeRows(encoded, targets.rows), targets.values, lambdas)
    if (targets.rows.length === 0) return { ridge: { weights: new Float64Array(encoder.columns), intercept: task.scale?.mean[channel] ?? 0 }, lambda: DEFAULT_LAMBDA }
    const best = ridges.length === 1 ? 0 : leastError(ridges, encoder, task, data.holdout, channel)
    return { ridge: ridges[best] as Ridge, lambda: lambdas[best] as number }
  })
  const direction = task.kind === 'direction' ? createTask(task) : undefined
  const values = chunked(task, encoder, part => {
    const data = new Float32Array(part.count * task.channels)
    for (const [channel, { ridge }] of outputs.entries()) ridgeValues(ridge, part).forEach((value, row) => { data[row * task.channels + channel] = value })
    return data
  })
  return {
    kind,
    strengths: outputs.map(({ lambda }) => lambda),
    weights: Float32Array.from(outputs.flatMap(({ ridge }) => [...ridge.weights, ridge.intercept])),
    predict: rows => direction === undefined ? values(rows) : direction.link(values(rows))
  }
}

/** Rows that have a target for an output, and the targets. */
function targetsOf (task: TaskSpec, rows: Rows, channel: number): { rows: number[], values: Float64Array } {
  const { targets, kind } = task
  const y = rows.y[task.id] as Float32Array
  const valid = (row: number): boolean => !Number.isNaN(y[row * targets + channel] as number) && (kind !== 'direction' || targets === 2 || (y[row * targets + 2] as number) > 0)
  const having = Array.from({ length: rows.count }, (_, row) => row).filter(valid)
  return { rows: having, values: Float64Array.from(having, row => y[row * targets + channel] as number) }
}

/** The fit with the least mean absolute error on the hold-out: the loss by which what is served is chosen. */
function leastError (ridges: readonly Ridge[], encoder: Encoder, task: TaskSpec, holdout: Rows, channel: number): number {
  const targets = targetsOf(task, holdout, channel)
  if (targets.rows.length === 0) return RIDGE_LAMBDAS.indexOf(DEFAULT_LAMBDA)
  const rows = takeRows(encoder.encode(holdout.x, holdout.count), targets.rows)
  const errors = ridges.map(ridge => ridgeValues(ridge, rows).reduce((sum, value, i) => sum + Math.abs(value - (targets.values[i] as number)), 0))
  return errors.indexOf(Math.min(...errors))
}

/** Predictions in pieces: encoded rows take several times the room of raw ones. */
function chunked (task: TaskSpec, encoder: Encoder, values: (part: SparseRows) => Float32Array): (rows: Rows) => TensorData {
  const positions = elements(task.positions)
  return rows => {
    const size = rows.x.length / rows.count
    const chunks: Array<ReadonlyMap<string, TensorData>> = []
    for (let start = 0; start < rows.count; start += EVALUATION_ROWS) {
      const count = Math.min(EVALUATION_ROWS, rows.count - start)
      const part = encoder.encode(rows.x.subarray(start * size, (start + count) * size), count)
      chunks.push(new Map([[task.id, { shape: [count, positions, task.channels], data: values(part) }]]))
    }
    return joinRows(chunks).get(task.id) as TensorData
  }
}
