/**
 * Low-rank tuning at toy scale: a two-layer net, 16 -> 32 -> 6, is trained on one domain and tuned to another by six clients
 * whose classes are dealt by a Dirichlet of .3. The net's arithmetic is here, in plain arrays; how the clients' factors
 * become one, and how a stack is added to the base, is the library's.
 */
import { Matrix } from 'ml-matrix'
import { Random, deriveSeed } from '../../src/random.ts'
import { dirichletShares } from '../../src/data/partition.ts'
import { factorsOf, mergeInto } from '../../src/peft/factors.ts'
import { loraRules } from '../../src/peft/rules/index.ts'
import type { Factors, Share } from '../../src/peft/factors.ts'
import type { LoraRule } from '../../src/peft/rules/index.ts'

const [INPUTS, HIDDEN, CLASSES] = [16, 32, 6] as const
const LAYERS = [{ inputs: INPUTS, outputs: HIDDEN }, { inputs: HIDDEN, outputs: CLASSES }] as const
const [CLIENTS, ROWS, BATCH, ROUNDS, RANK, SCALE] = [6, 60, 16, 25, 4, 2] as const
/** Of the whole net's steps, and of factors'. */
const [RATE, FACTOR_RATE] = [0.1, 0.05] as const

/** Layers as the library has them: [in, out], row by row. */
type Net = readonly [Float32Array, Float32Array]
interface Plain { readonly a: Float64Array, readonly b: Float64Array }
interface Rows { readonly x: readonly Float64Array[], readonly y: readonly number[] }

export interface Domain {
  readonly seed: number
  /** Trained on another domain. */
  readonly net: Net
  readonly clients: readonly Rows[]
  readonly test: Rows
}

/** A net for a domain, and the clients of one to which that has moved. */
export function toyDomain (seed: number): Domain {
  const random = new Random(deriveSeed(seed, 'toy lora'))
  const normals = (count: number, deviation: number): number[] => Array.from({ length: count }, () => deviation * random.normal())
  const centres = normals(CLASSES * INPUTS, 0.9)
  const shift = normals(CLASSES * INPUTS, 0.9)
  const moved = centres.map((value, i) => value + (shift[i] as number))
  const draw = (of: readonly number[], y: readonly number[]): Rows =>
    ({ y, x: y.map(label => Float64Array.from({ length: INPUTS }, (_, i) => (of[label * INPUTS + i] as number) + 1.2 * random.normal())) })
  const labels = (count: number): number[] => Array.from({ length: count }, () => random.int(CLASSES))
  const before = draw(centres, labels(1500))
  const net: Net = [Float32Array.from(normals(INPUTS * HIDDEN, Math.sqrt(2 / INPUTS))), Float32Array.from(normals(HIDDEN * CLASSES, Math.sqrt(1 / HIDDEN)))]
  for (let step = 0; step < 1500; step++) descend(net, slopes(net, before, Array.from({ length: 32 }, () => random.int(1500))))
  const clients = dirichletShares(CLIENTS, CLASSES, 0.3, random).map(shares => draw(moved, Array.from({ length: ROWS }, () => {
    let rest = random.next()
    const label = shares.findIndex(share => (rest -= share) < 0)
    return label < 0 ? CLASSES - 1 : label
  })))
  return { seed, net, clients, test: draw(moved, labels(2000)) }
}

export interface Tuning {
  readonly rule: LoraRule['name'] | 'full'
  /** Deviation of what is added to every number that is sent. Default 0. */
  readonly noise?: number
  /** Gradient steps between two exchanges. Default 10. */
  readonly localSteps?: number
}

export interface Outcome {
  /** Accuracy on the clients' domain. */
  readonly before: number
  readonly after: number
  /** |B A - sum_k p_k B_k A_k| / |sum_k p_k B_k A_k|, mean over layers and rounds. */
  readonly error: number
}

export function tuneToy ({ seed, net, clients, test }: Domain, { rule: name, noise = 0, localSteps = 10 }: Tuning): Outcome {
  const rule = loraRules.find(each => each.name === name)
  // Apart from each other: with noise and without, clients see the same rows.
  const [starts, rows, noises] = ['starts', 'rows', 'noise'].map(purpose => new Random(deriveSeed(seed, 'toy tuning', purpose))) as [Random, Random, Random]
  const fresh = (): Factors[] => LAYERS.map(({ inputs, outputs }) => ({ a: Matrix.from1DArray(RANK, inputs, Array.from({ length: RANK * inputs }, () => (2 * starts.next() - 1) * inputs ** -0.5)), b: Matrix.zeros(outputs, RANK) }))
  const noisy = (matrix: Matrix): Matrix => noise === 0 ? matrix : Matrix.from1DArray(matrix.rows, matrix.columns, matrix.to1DArray().map(value => value + noise * noises.normal()))
  const base: Net = [net[0].slice(), net[1].slice()]
  let agreed = fresh()
  let error = 0
  for (let round = 0; round < ROUNDS; round++) {
    if (rule?.into === 'base' && round > 0) agreed = fresh()
    const ends = clients.map(client => {
      const own = agreed.map(({ a, b }): Plain => ({ a: Float64Array.from(a.to1DArray()), b: Float64Array.from(b.to1DArray()) }))
      const whole: Net = [base[0].slice(), base[1].slice()]
      for (let step = 0; step < localSteps; step++) {
        const batch = Array.from({ length: BATCH }, () => rows.int(ROWS))
        if (rule === undefined) descend(whole, slopes(whole, client, batch))
        else descendFactors(own, slopes(corrected(base, own), client, batch), rule)
      }
      return { own, whole }
    })
    if (rule === undefined) {
      for (const [l, layer] of base.entries()) {
        const sent = ends.map(({ whole }) => whole[l as 0 | 1].map(value => value + (noise === 0 ? 0 : noise * noises.normal())))
        layer.forEach((_, i) => { layer[i] = sent.reduce((sum, each) => sum + (each[i] as number) / CLIENTS, 0) })
      }
      continue
    }
    agreed = agreed.map((_, l) => {
      const shares = ends.map(({ own }): Share => {
        const { a, b } = factorsOf((own[l] as Plain).a, (own[l] as Plain).b, LAYERS[l as 0 | 1])
        return { weight: 1 / CLIENTS, a: rule.trains.includes('A') ? noisy(a) : a, b: noisy(b) }
      })
      const joined = rule.aggregate(shares, { rank: RANK })
      const exact = shares.reduce((sum, { weight, ...factors }) => sum.add(productOf(factors).mul(weight)), Matrix.zeros(joined.b.rows, joined.a.columns))
      error += Matrix.sub(productOf(joined), exact).norm('frobenius') / exact.norm('frobenius') / ROUNDS / LAYERS.length
      if (rule.into === 'base') mergeInto(base[l as 0 | 1], joined, SCALE)
      return joined
    })
  }
  const end = rule === undefined || rule.into === 'base' ? base : tuned(base, agreed)
  return { before: accuracy(net, test), after: accuracy(end, test), error }
}

function productOf ({ a, b }: Factors): Matrix { return b.mmul(a) }

function tuned (base: Net, factors: readonly Factors[]): Net {
  const net: Net = [base[0].slice(), base[1].slice()]
  for (const [l, layer] of net.entries()) mergeInto(layer, factors[l] as Factors, SCALE)
  return net
}

function descend (net: Net, gradient: Net): void {
  for (const [l, layer] of net.entries()) for (let i = 0; i < layer.length; i++) layer[i] = (layer[i] as number) - RATE * (gradient[l as 0 | 1][i] as number)
}

/** W0 + s B A, as a site's forward pass has it. */
function corrected (base: Net, own: readonly Plain[]): Net {
  const net: Net = [base[0].slice(), base[1].slice()]
  for (const [l, { inputs, outputs }] of LAYERS.entries()) {
    const [layer, { a, b }] = [net[l as 0 | 1], own[l] as Plain]
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) {
        let sum = 0
        for (let r = 0; r < RANK; r++) sum += (b[o * RANK + r] as number) * (a[r * inputs + i] as number)
        layer[i * outputs + o] = (layer[i * outputs + o] as number) + SCALE * sum
      }
    }
  }
  return net
}

/** dL/dB = s G^T A^T, dL/dA = s B^T G^T for a gradient G [in, out] of the layer, both at the factors before the step. */
function descendFactors (own: readonly Plain[], gradient: Net, { trains }: LoraRule): void {
  for (const [l, { inputs, outputs }] of LAYERS.entries()) {
    const [g, { a, b }] = [gradient[l as 0 | 1], own[l] as Plain]
    const [toA, toB] = [new Float64Array(a.length), new Float64Array(b.length)]
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) {
        const slope = SCALE * FACTOR_RATE * (g[i * outputs + o] as number)
        for (let r = 0; r < RANK; r++) {
          toB[o * RANK + r] = (toB[o * RANK + r] as number) + slope * (a[r * inputs + i] as number)
          toA[r * inputs + i] = (toA[r * inputs + i] as number) + slope * (b[o * RANK + r] as number)
        }
      }
    }
    if (trains.includes('A')) for (let i = 0; i < a.length; i++) a[i] = (a[i] as number) - (toA[i] as number)
    for (let i = 0; i < b.length; i++) b[i] = (b[i] as number) - (toB[i] as number)
  }
}

function passed ([first, second]: Net, x: Float64Array, hidden: Float64Array, out: Float64Array): void {
  hidden.fill(0)
  out.fill(0)
  for (let i = 0; i < INPUTS; i++) for (let h = 0; h < HIDDEN; h++) hidden[h] = (hidden[h] as number) + (x[i] as number) * (first[i * HIDDEN + h] as number)
  for (let h = 0; h < HIDDEN; h++) {
    const active = hidden[h] = Math.max(0, hidden[h] as number)
    for (let c = 0; c < CLASSES; c++) out[c] = (out[c] as number) + active * (second[h * CLASSES + c] as number)
  }
}

function slopes (net: Net, { x, y }: Rows, batch: readonly number[]): Net {
  const gradient: Net = [new Float32Array(INPUTS * HIDDEN), new Float32Array(HIDDEN * CLASSES)]
  const [hidden, out] = [new Float64Array(HIDDEN), new Float64Array(CLASSES)]
  for (const row of batch) {
    const input = x[row] as Float64Array
    passed(net, input, hidden, out)
    const top = Math.max(...out)
    let total = 0
    for (let c = 0; c < CLASSES; c++) total += out[c] = Math.exp((out[c] as number) - top)
    for (let c = 0; c < CLASSES; c++) out[c] = ((out[c] as number) / total - (c === y[row] ? 1 : 0)) / batch.length
    for (let h = 0; h < HIDDEN; h++) {
      if (hidden[h] === 0) continue
      let back = 0
      for (let c = 0; c < CLASSES; c++) {
        back += (out[c] as number) * (net[1][h * CLASSES + c] as number)
        gradient[1][h * CLASSES + c] = (gradient[1][h * CLASSES + c] as number) + (hidden[h] as number) * (out[c] as number)
      }
      for (let i = 0; i < INPUTS; i++) gradient[0][i * HIDDEN + h] = (gradient[0][i * HIDDEN + h] as number) + (input[i] as number) * back
    }
  }
  return gradient
}

function accuracy (net: Net, { x, y }: Rows): number {
  const [hidden, out] = [new Float64Array(HIDDEN), new Float64Array(CLASSES)]
  const right = x.filter((row, i) => {
    passed(net, row, hidden, out)
    return out.indexOf(Math.max(...out)) === y[i]
  })
  return right.length / x.length
}
