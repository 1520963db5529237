/** What methods gain at toy scale, over three seeds. */
import test from 'ava'
import { accuracyOf, runToy } from '../helpers/table-sites.ts'
import { backendOn } from '../helpers/rungs.ts'
import { hybrid } from '../helpers/hybrid-sites.ts'
import { sitesWithPublicRows } from '../helpers/public-rows.ts'

const SEEDS = [1, 2, 3]
const backend = await backendOn('wasm')
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

test.serial('CoFED: sites that label 900 public rows for each other are 8 points better or more', async t => {
  const gains: number[] = []
  for (const seed of SEEDS) {
    const { dataset, set } = sitesWithPublicRows({ seed, sites: 8, rows: [24, 8, 300], unlabelled: 900 })
    const accuracy = async (threshold: number): Promise<number> => accuracyOf((await runToy(backend, dataset, {
      strategy: 'cofed',
      seed,
      model: { width: 16, layers: 1, hidden: 32 },
      training: { rounds: 8, localSteps: 20, batch: 16, warmup: 10, lrLocal: 0.01, weightDecay: 0.01 },
      method: { public: set, widths: [8, 16, 24, 32], threshold }
    })).clients)
    const [before, after] = [await accuracy(1), await accuracy(0.6)]
    t.log(`seed ${seed}: ${before.toFixed(3)} alone, ${after.toFixed(3)} together`)
    gains.push(after - before)
  }
  t.true(mean(gains) >= 0.08)
})

test.serial('HyFEM: the model over all blocks is better than the best site alone, and sites lose no more than 2 points', async t => {
  const [whole, best, lost]: [number[], number[], number[]] = [[], [], []]
  for (const seed of SEEDS) {
    const result = await hybrid(backend, { seed, rounds: 10, mu: 0 })
    t.log(`seed ${seed}: alone ${result.alone.mean.toFixed(3)}, at best ${result.alone.best.toFixed(3)}; together ${result.together.mean.toFixed(3)}; over all blocks ${result.whole.toFixed(3)}`)
    whole.push(result.whole)
    best.push(result.alone.best)
    lost.push(result.alone.mean - result.together.mean)
  }
  t.true(mean(whole) > mean(best))
  t.true(mean(lost) <= 0.02)
})
