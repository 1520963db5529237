/**
 * MTSL at toy scale: sites of one label space, a share `alpha` of whose inputs is turned by a rotation of the site's own;
 * a tanh layer 10 -> 8 below the cut and a softmax layer 8 -> 5 above it. The arithmetic of the two layers is here, in plain
 * arrays; rules, averaging and optimiser are the library's.
 */
import { Contributions } from '../../src/training/contributions.ts'
import { Sgd } from '../../src/training/optimiser.ts'
import { createRule } from '../../src/projection/index.ts'
import { Random, deriveSeed } from '../../src/random.ts'

const INPUTS = 10
const HIDDEN = 8
const CLASSES = 5

export interface ToyRows {
  readonly count: number
  readonly x: Float32Array
  readonly y: Uint8Array
}

export interface ToySite {
  readonly id: string
  readonly train: ToyRows
  readonly test: ToyRows
}

export interface ToySitesInit {
  readonly seed: number
  /** 0: all sites are alike; 1: every input is turned. */
  readonly alpha: number
  /** Factor on each site's inputs, as many as there are sites. Default 1 for five sites. */
  readonly scales?: readonly number[]
  /** Training rows per site. Default 200. */
  readonly rows?: number
  /** Site whose training labels are dealt out anew. */
  readonly shuffled?: number
}

export function toySites ({ seed, alpha, scales = [1, 1, 1, 1, 1], rows: trainRows = 200, shuffled }: ToySitesInit): readonly ToySite[] {
  const random = new Random(deriveSeed(seed, 'toy sites'))
  const centres = Float64Array.from({ length: CLASSES * INPUTS }, () => 1.2 * random.normal())
  return scales.map((scale, s) => {
    const turn = rotation(random)
    const draw = (count: number): ToyRows => {
      const rows = { count, x: new Float32Array(count * INPUTS), y: new Uint8Array(count) }
      for (let row = 0; row < count; row++) {
        const label = rows.y[row] = random.int(CLASSES)
        const input = Array.from({ length: INPUTS }, (_, i) => (centres[label * INPUTS + i] as number) + random.normal())
        const turned = random.next() < alpha
        for (let i = 0; i < INPUTS; i++) {
          rows.x[row * INPUTS + i] = scale * (turned ? input.reduce((sum, value, j) => sum + value * (turn[j]?.[i] as number), 0) : input[i] as number)
        }
      }
      return rows
    }
    const [train, test] = [draw(trainRows), draw(300)]
    if (s !== shuffled) return { id: `site-${s}`, train, test }
    const order = new Random(deriveSeed(seed, 'shuffled labels')).permutation(train.count)
    return { id: `site-${s}`, train: { ...train, y: train.y.map((_, row) => train.y[order[row] as number] as number) }, test }
  })
}

/** Gram-Schmidt on normal draws. */
function rotation (random: Random): readonly number[][] {
  const rows: number[][] = []
  while (rows.length < INPUTS) {
    let row = Array.from({ length: INPUTS }, () => random.normal())
    for (const other of rows) {
      const along = row.reduce((sum, value, i) => sum + value * (other[i] as number), 0)
      row = row.map((value, i) => value - along * (other[i] as number))
    }
    const length = Math.hypot(...row)
    rows.push(row.map(value => value / length))
  }
  return rows
}

interface Pass {
  readonly loss: number
  readonly correct: number
  readonly lower: Float32Array
  readonly upper: Float32Array
}

/** Forward and backward over some rows, the mean loss, and how many rows are told right. */
function pass (lower: Float32Array, upper: Float32Array, { x, y }: ToyRows, rows: readonly number[]): Pass {
  const grads = { lower: new Float64Array(lower.length), upper: new Float64Array(upper.length) }
  const [z, p] = [new Float64Array(HIDDEN), new Float64Array(CLASSES)]
  let loss = 0
  let correct = 0
  for (const row of rows) {
    for (let h = 0; h < HIDDEN; h++) {
      let sum = 0
      for (let i = 0; i < INPUTS; i++) sum += (x[row * INPUTS + i] as number) * (lower[i * HIDDEN + h] as number)
      z[h] = Math.tanh(sum)
    }
    for (let c = 0; c < CLASSES; c++) {
      let sum = 0
      for (let h = 0; h < HIDDEN; h++) sum += (z[h] as number) * (upper[h * CLASSES + c] as number)
      p[c] = sum
    }
    const top = Math.max(...p)
    let total = 0
    for (let c = 0; c < CLASSES; c++) total += p[c] = Math.exp((p[c] as number) - top)
    const label = y[row] as number
    if (p[label] === 1) correct++ // the largest one is e^0
    loss -= Math.log((p[label] as number) / total) / rows.length
    for (let c = 0; c < CLASSES; c++) p[c] = ((p[c] as number) / total - (c === label ? 1 : 0)) / rows.length
    for (let h = 0; h < HIDDEN; h++) {
      let back = 0
      for (let c = 0; c < CLASSES; c++) {
        grads.upper[h * CLASSES + c] = (grads.upper[h * CLASSES + c] as number) + (z[h] as number) * (p[c] as number)
        back += (p[c] as number) * (upper[h * CLASSES + c] as number)
      }
      back *= 1 - (z[h] as number) ** 2
      for (let i = 0; i < INPUTS; i++) grads.lower[i * HIDDEN + h] = (grads.lower[i * HIDDEN + h] as number) + (x[row * INPUTS + i] as number) * back
    }
  }
  return { loss, correct, lower: Float32Array.from(grads.lower), upper: Float32Array.from(grads.upper) }
}

/** Learning rate of a block for its next step: 'upper', or a site's id. */
export type BlockRate = (block: string, parameters: Float32Array, gradient: Float32Array) => number

export interface ToyRun {
  readonly seed: number
  readonly steps: number
  /** Default .5 for every block. */
  readonly rate?: BlockRate
  /** Rows per site and step; left out: 32. Infinity: all of them, the same ones every step. */
  readonly batch?: number
}

const half: BlockRate = () => 0.5

function start (seed: number): { lower: Float32Array, upper: Float32Array } {
  const random = new Random(deriveSeed(seed, 'toy weights'))
  const draw = (length: number): Float32Array => Float32Array.from({ length }, () => 0.3 * random.normal())
  return { lower: draw(INPUTS * HIDDEN), upper: draw(HIDDEN * CLASSES) }
}

function rowsOf ({ train, id }: ToySite, { seed, batch = 32 }: ToyRun, step: number): readonly number[] {
  if (batch >= train.count) return [...Array(train.count).keys()]
  const random = new Random(deriveSeed(seed, 'toy batch', id, step))
  return Array.from({ length: batch }, () => random.int(train.count))
}

const sgd = new Sgd(0)

function descend (block: string, parameters: Float32Array, gradient: Float32Array, rate: BlockRate): void {
  sgd.apply(parameters, sgd.direction(gradient), rate(block, parameters, gradient))
}

interface Trained {
  /** Mean over sites of the batch loss, before each step. */
  readonly losses: readonly number[]
  /** On each site's own test rows. */
  readonly accuracy: readonly number[]
}

function accuracyOf ({ test }: ToySite, lower: Float32Array, upper: Float32Array): number {
  return pass(lower, upper, test, [...Array(test.count).keys()]).correct / test.count
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** A lower layer per site, one upper layer for all, moved once a step by the mean of the sites' gradients. */
export function trainMtsl (sites: readonly ToySite[], run: ToyRun): Trained {
  const { rate = half } = run
  const rule = createRule('mean')
  const { lower, upper } = start(run.seed)
  const lowers = sites.map(() => lower.slice())
  const losses: number[] = []
  for (let step = 0; step < run.steps; step++) {
    const passes = sites.map((site, s) => pass(lowers[s] as Float32Array, upper, site.train, rowsOf(site, run, step)))
    losses.push(mean(passes.map(({ loss }) => loss)))
    const { update } = rule.aggregate(passes.map(each => each.upper), { ids: sites.map(({ id }) => id), random: new Random(step) })
    descend('upper', upper, update, rate)
    for (const [s, { id }] of sites.entries()) descend(id, lowers[s] as Float32Array, (passes[s] as Pass).lower, rate)
  }
  return { losses, accuracy: sites.map((site, s) => accuracyOf(site, lowers[s] as Float32Array, upper)) }
}

/** Both layers at every site; all that five steps changed is averaged. */
export function trainFedAvg (sites: readonly ToySite[], run: ToyRun): Trained {
  const { rate = half } = run
  const agreed = start(run.seed)
  const contributions = new Contributions({ lower: agreed.lower.length, upper: agreed.upper.length })
  const losses: number[] = []
  for (let round = 0; round < run.steps / 5; round++) {
    for (const site of sites) {
      const own = { lower: agreed.lower.slice(), upper: agreed.upper.slice() }
      for (let step = 5 * round; step < 5 * round + 5; step++) {
        const { loss, ...gradients } = pass(own.lower, own.upper, site.train, rowsOf(site, run, step))
        losses[step] = (losses[step] ?? 0) + loss / sites.length
        for (const block of ['lower', 'upper'] as const) descend(block, own[block], gradients[block], rate)
      }
      contributions.add(site.id, round, site.train.count, (['lower', 'upper'] as const).map(name => ({
        name,
        tensor: { shape: [own[name].length], data: own[name].map((value, i) => value - (agreed[name][i] as number)) }
      })))
    }
    for (const [name, change] of contributions.mean(round, sites.map(({ id }) => id)).changes) {
      const values = agreed[name as 'lower' | 'upper']
      for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + (change[i] as number)
    }
  }
  return { losses, accuracy: sites.map(site => accuracyOf(site, agreed.lower, agreed.upper)) }
}
