/** Affinities and splits against an independent reference: test/vectors/affinity. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { AffinityTally, meanOverSites } from '../../src/affinity/tally.ts'
import { branchAndBound, exhaustive } from '../../src/affinity/search.ts'
import { chooseSplit } from '../../src/affinity/split.ts'
import { lookAhead } from '../../src/affinity/look-ahead.ts'
import { valueOf } from '../../src/affinity/partition.ts'
import type { ExecutionContext } from 'ava'

type Matrix = number[][]
interface AffinityVectors { readonly tolerance: number, readonly targets: Matrix, readonly Q: Matrix[], readonly c: number[], readonly theta: number[], readonly lr: number, readonly lossesBefore: number[], readonly affinity: Matrix, readonly affinityPerLr: Matrix }
interface SplitVectors {
  readonly tolerance: number
  readonly affinity: Matrix
  readonly allInOneScore: number
  readonly cases: ReadonlyArray<{ readonly splits: number, readonly best: Matrix, readonly score: number, readonly runnerUp: Matrix, readonly runnerUpScore: number, readonly partitionsTried: number, readonly bestAtMost: Matrix, readonly bestAtMostScore: number }>
  readonly stirlingS2: Readonly<Record<string, number>>
  readonly averaging: { readonly perBatch: Matrix[], readonly epochMean: Matrix, readonly clients: Matrix[], readonly clientMean: Matrix }
}

function read<T> (name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/affinity/${name}.json`, import.meta.url), 'utf8')) as T
}

function near (t: ExecutionContext, what: string, got: number, want: number, tolerance: number): void {
  t.true(Math.abs(got - want) <= tolerance, `${what}: ${got}, not ${want}`)
}

function nearMatrix (t: ExecutionContext, got: Matrix, want: Matrix, tolerance: number): void {
  want.forEach((row, i) => { row.forEach((value, j) => { near(t, `${i} on ${j}`, got[i]?.[j] as number, value, tolerance) }) })
}

const probe = read<AffinityVectors>('mas-affinity')

/** Q (theta - target) of one task. */
function slope (task: number, theta: Float64Array): Float64Array {
  const target = probe.targets[task] as number[]
  return theta.map((_, i) => theta.reduce((sum, value, j) => sum + (probe.Q[task]?.[i]?.[j] as number) * (value - (target[j] as number)), 0))
}

function losses (theta: Float64Array): number[] {
  return probe.c.map((c, task) => c + 0.5 * slope(task, theta).reduce((sum, value, i) => sum + value * ((theta[i] as number) - (probe.targets[task]?.[i] as number)), 0))
}

for (const { perRate, want } of [{ perRate: false, want: probe.affinity }, { perRate: true, want: probe.affinityPerLr }]) {
  test(`three quadratic tasks, ${perRate ? 'per rate' : 'as it is'}: source by row, target by column`, async t => {
    const shared = Float64Array.from(probe.theta)
    probe.lossesBefore.forEach((loss, task) => { near(t, `loss ${task}`, losses(shared)[task] as number, loss, probe.tolerance) })
    const got = await lookAhead({ shared, losses: losses(shared), gradients: probe.c.map((_, task) => slope(task, shared)), rate: probe.lr, perRate }, async theta => losses(theta))
    nearMatrix(t, got, want, probe.tolerance * (perRate ? 10 : 1))
  })
}

const { affinity, tolerance, allInOneScore, cases, stirlingS2, averaging } = read<SplitVectors>('mas-split')

for (const { splits, best, score, runnerUp, runnerUpScore, partitionsTried, bestAtMost, bestAtMostScore } of cases) {
  test(`five tasks in exactly ${splits} groups, and in at most so many`, t => {
    const found = exhaustive(affinity, { groups: splits, exact: true })
    t.deepEqual(found.best.groups, best)
    near(t, 'value', found.best.value, score, tolerance)
    t.deepEqual(found.runnerUp?.groups, runnerUp)
    near(t, 'runner-up', found.runnerUp?.value as number, runnerUpScore, tolerance)
    t.is(found.tried, partitionsTried)
    for (const search of [exhaustive, branchAndBound]) {
      const atMost = search(affinity, { groups: splits, exact: false })
      t.deepEqual(atMost.best.groups, bestAtMost)
      near(t, 'at most', atMost.best.value, bestAtMostScore, tolerance)
    }
    t.deepEqual(branchAndBound(affinity, { groups: splits, exact: true }).best, found.best)
    t.deepEqual(chooseSplit(affinity, { groups: splits }).groups, bestAtMost)
    t.deepEqual(chooseSplit(affinity, { groups: splits, exact: true }).groups, best)
  })
}

test('all in one', t => {
  near(t, 'value', valueOf(affinity, [[0, 1, 2, 3, 4]]), allInOneScore, tolerance)
  near(t, 'of the choice', chooseSplit(affinity, { groups: 2 }).allInOne, allInOneScore, tolerance)
})

for (const [sizes, want] of Object.entries(stirlingS2)) {
  test(`every partition is looked at once: S(${sizes})`, t => {
    const [tasks, groups] = sizes.split(',').map(Number) as [number, number]
    t.is(exhaustive(Array.from({ length: tasks }, () => new Array<number>(tasks).fill(0)), { groups, exact: true }).tried, want)
  })
}

test('batches and sites are averaged with their signs', t => {
  const tally = new AffinityTally(2)
  for (const batch of averaging.perBatch) tally.add(batch)
  nearMatrix(t, tally.mean(), averaging.epochMean, tolerance)
  nearMatrix(t, meanOverSites(averaging.clients.map((affinity, i) => ({ site: `site ${i}`, affinity })), 2), averaging.clientMean, tolerance)
})
