/** The arithmetic of FeDEQ in float64 against the reference numbers: test/vectors/fedeq. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { anderson } from '../../src/numerics/anderson.ts'
import { augmented, dualStep, share } from '../../src/methods/fedeq/admm.ts'
import { conjugateGradients } from '../../src/numerics/conjugate-gradients.ts'
import { FORWARD } from '../../src/methods/fedeq/equilibrium-layer.ts'
import type { AdmmMode } from '../../src/methods/fedeq/admm.ts'
import type { ExecutionContext } from 'ava'

type Matrix = readonly number[][]
interface Run { consensus: number, dualSum?: number, first5?: number[] }
interface Golden {
  Wz: Matrix,
  Ux: Matrix,
  b: number[],
  x: number[],
  fixedPoint: number[]
  anderson: { z: number[], iters: number, residuals: number[] }
  slowMap: { W: Matrix, b: number[], fixedPoint: number[], tol: number, picardIters: number, anderson: { iters: number, ridge: number, residuals: number[] } }
  implicit: { v: number[], loss: number, gradB: number[], gradW: Matrix }
  admm: { a: number[], c: number[], optimum: number, rho: number, exact: Run & { locals: number[], duals: number[] }, plainAverage: Run & { predicted: number }, plainAverageSmallRho: Run & { rho: number } }
}

const golden = JSON.parse(readFileSync(new URL('../vectors/fedeq/fedeq-admm.json', import.meta.url), 'utf8')) as Golden
const TOLERANCE = 1e-9

function near (t: ExecutionContext, got: ArrayLike<number>, want: ArrayLike<number>, tolerance = TOLERANCE): void {
  t.is(got.length, want.length)
  for (let i = 0; i < want.length; i++) t.true(Math.abs((got[i] as number) - (want[i] as number)) <= tolerance, `[${i}] ${got[i]} for ${want[i]}`)
}

const times = (m: Matrix, v: ArrayLike<number>): number[] => m.map(row => row.reduce((sum, value, i) => sum + value * (v[i] as number), 0))
const transposed = (m: Matrix): Matrix => (m[0] as number[]).map((_, i) => m.map(row => row[i] as number))
const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0)

/** z -> tanh(W z + U x + b) */
function layer (W: Matrix, b: readonly number[]): (z: ArrayLike<number>) => number[] {
  const injection = times(golden.Ux, golden.x)
  return z => times(W, z).map((value, i) => Math.tanh(value + (injection[i] as number) + (b[i] as number)))
}
const small = layer(golden.Wz, golden.b)
const slow = (z: ArrayLike<number>): number[] => times(golden.slowMap.W, z).map((value, i) => Math.tanh(value + (golden.slowMap.b[i] as number)))

const precise = { ...FORWARD, tolerance: 1e-13, maxSteps: 500, ridge: 1e-10 }

test('a small map: the iterates, their number and their residuals are the reference\'s', async t => {
  const { z, steps, residuals } = await anderson(async z => small(z), new Float64Array(3), 1, FORWARD)
  t.is(steps, golden.anderson.iters)
  near(t, z, golden.anderson.z)
  near(t, residuals, golden.anderson.residuals)
  near(t, (await anderson(async z => small(z), new Float64Array(3), 1, precise)).z, golden.fixedPoint)
})

test('a slow map takes 22 steps in place of 38 plain ones', async t => {
  const { W: { length }, tol, picardIters, fixedPoint, anderson: { iters, ridge, residuals: want } } = golden.slowMap
  const options = { ...FORWARD, ridge, tolerance: tol, maxSteps: 200 }
  const { z, steps, residuals } = await anderson(async z => slow(z), new Float64Array(length), 1, options)
  t.is(steps, iters)
  near(t, residuals, want)
  near(t, z, fixedPoint, 1e-7)
  t.is((await anderson(async z => slow(z), new Float64Array(length), 1, { ...options, history: 1000 })).steps, picardIters) // a history that never fills
})

test('rows are solved as if each were alone, and a row that has converged is left as it is', async t => {
  const rows = async (z: Float64Array): Promise<number[]> => [...small(z.subarray(0, 3)), ...small(z.subarray(3, 6)).map((value, i) => 0.9 * value + 0.05 * i)]
  const both = await anderson(rows, new Float64Array(6), 2, FORWARD)
  near(t, both.z.subarray(0, 3), golden.anderson.z)
  const second = await anderson(async z => small(z).map((value, i) => 0.9 * value + 0.05 * i), new Float64Array(3), 1, FORWARD)
  t.deepEqual(both.z.slice(3), second.z)
})

test('steps stop at their limit, and the residual says how far it came', async t => {
  const { steps, residuals } = await anderson(async z => slow(z), new Float64Array(6), 1, { ...FORWARD, maxSteps: 3 })
  t.is(steps, 3)
  t.true((residuals[2] as number) > FORWARD.tolerance)
})

test('the implicit gradient by conjugate gradients is the reference\'s, which is that of finite differences', async t => {
  const { v, loss, gradB, gradW } = golden.implicit
  const { z } = await anderson(async z => small(z), new Float64Array(3), 1, precise)
  t.true(Math.abs(sum(z.map((value, i) => value * (v[i] as number))) - loss) <= TOLERANCE)
  const slope = [...z].map(value => 1 - value ** 2)
  const J = golden.Wz.map((row, i) => row.map(value => value * (slope[i] as number)))
  const minus = (m: Matrix) => async (u: Float64Array): Promise<number[]> => times(m, u).map((value, i) => (u[i] as number) - value)
  const { u, residual, steps } = await conjugateGradients(minus(transposed(J)), minus(J), Float64Array.from(v), 1, { tolerance: 1e-13, maxSteps: 50 })
  t.true(residual <= 1e-13 && steps <= 4, `${steps} steps, residual ${residual}`)
  const bias = [...u].map((value, i) => value * (slope[i] as number))
  near(t, bias, gradB)
  near(t, bias.flatMap(value => [...z].map(state => value * state)), gradW.flat())
})

/** Sites with losses a / 2 (t - c)^2, each solved exactly: where its augmented gradient is 0. */
function quadratics (mode: AdmmMode, rho: number, rounds: number): { bar: number, theta: number[], lam: number[], bars: number[] } {
  const { a, c } = golden.admm
  let bar = 0
  let theta = a.map(() => 0)
  let lam = a.map(() => Float64Array.of(0))
  const bars: number[] = []
  for (let round = 0; round < rounds; round++) {
    const one = (i: number, at: number): number => augmented(Float64Array.of((a[i] as number) * (at - (c[i] as number))), { theta: Float64Array.of(at), bar: Float64Array.of(bar), lam: lam[i] as Float64Array }, rho)[0] as number
    theta = a.map((curvature, i) => -one(i, 0) / (curvature + rho)) // linear in theta, with this slope
    const mean = sum(theta.map((value, i) => share(Float64Array.of(value), lam[i] as Float64Array, rho, mode)[0] as number)) / a.length
    const against = Float64Array.of(mode === 'exact' ? mean : bar)
    lam = lam.map((dual, i) => dualStep(dual, Float64Array.of(theta[i] as number), against, rho))
    bars.push(bar = mean)
  }
  return { bar, theta, lam: lam.map(([dual]) => dual as number), bars }
}

test('exact consensus ends at the joint optimum of quadratics, with duals that sum to 0', t => {
  const { optimum, rho, exact } = golden.admm
  const { bar, theta, lam, bars } = quadratics('exact', rho, 400)
  near(t, [bar], [optimum])
  near(t, theta, exact.locals)
  near(t, lam, exact.duals)
  near(t, [sum(lam)], [0])
  near(t, bars.slice(0, 5), exact.first5 ?? [])
})

test('the published rule ends beside it, by the formula of its bias', t => {
  const { rho, plainAverage } = golden.admm
  const { bar, lam, bars } = quadratics('published', rho, 4000)
  near(t, [bar, sum(lam)], [plainAverage.predicted, plainAverage.dualSum ?? NaN])
  near(t, bars.slice(0, 5), plainAverage.first5 ?? [])
  near(t, [quadratics('published', golden.admm.plainAverageSmallRho.rho, 200_000).bar], [golden.admm.plainAverageSmallRho.consensus])
})
