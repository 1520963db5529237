/** Split-Mix on real pictures: what width buys, and what robustness costs, each from one training; weak sites alone; bytes. */
import { withoutRecipe } from '../helpers/charters.ts'
import { fewTestRows } from '../helpers/few-test-rows.ts'
import { backendOn } from '../helpers/rungs.ts'
import { baseUnits } from '../../src/methods/split-mix/bases.ts'
import { numbersOf } from '../../src/graph/graph.ts'
import { openDataset } from '../../src/data/open.ts'
import { trainMix } from '../helpers/split-mix.ts'
import { withSharedData } from '../helpers/shared-data.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { MixOutcome, MixRun } from '../helpers/split-mix.ts'

const BASES = 4
const SEEDS = [10, 11, 12]
const TEST_ROWS = 300
const MODEL = { width: 32, layers: 1, heads: 4, hidden: 64, embedder: { patch: 8, stride: 4, padding: 2 } }
const TRAINING = { rounds: 60, localSteps: 10, batch: 24, lrLocal: 0.01, warmup: 20, smoothing: 0.1, shift: 1, weightDecay: 0.1 }

const backend = await backendOn('wasm')

/** Four sites with rows of all domains mixed. */
async function digits (folder: string, seed: number): Promise<Dataset> {
  return withoutRecipe(fewTestRows(await openDataset(folder, { seed, rows: 300, tasks: ['digit'], partition: 'iid', clients: 4 }), TEST_ROWS))
}

async function train (folder: string, seed: number, run: Partial<MixRun> = {}): Promise<MixOutcome> {
  return await trainMix(backend, await digits(folder, seed), { seed, model: MODEL, training: TRAINING, ...run })
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const shown = (values: readonly number[]): string => values.map(value => value.toFixed(3)).join(' ')

withSharedData('digits', 'accuracy does not fall with width by more than a point, and all bases beat one by more than seeds differ', async (t, folder) => {
  const bySeed: number[][] = []
  for (const seed of SEEDS) {
    const { accuracy, sent, charter } = await train(folder, seed)
    bySeed.push(Array.from({ length: BASES }, (_, i) => accuracy[`width ${i + 1}/${BASES}`] as number))
    t.log(`seed ${seed}: ${shown(bySeed.at(-1) as number[])}`)
    const one = 4 * numbersOf(baseUnits(charter, { bases: BASES, rescaled: false, sides: 'one' }))
    for (const [rank, bytes] of Object.values(sent).entries()) t.deepEqual(new Set(bytes), new Set([([1, 1, 2, 4][rank] as number) * one + 4 * BASES]))
  }
  const widths = Array.from({ length: BASES }, (_, i) => mean(bySeed.map(values => values[i] as number)))
  const gains = bySeed.map(values => (values.at(-1) as number) - (values[0] as number))
  const spread = Math.sqrt(mean(gains.map(gain => (gain - mean(gains)) ** 2)))
  t.log(`mean ${shown(widths)}; full over one base ${shown(gains)}, spread ${spread.toFixed(3)}`)
  for (let i = 1; i < BASES; i++) t.true((widths[i] as number) >= (widths[i - 1] as number) - 0.01)
  t.true(mean(gains) > spread && mean(gains) >= 0.03)
})

withSharedData('digits', 'weak sites alone train every base', async (t, folder) => {
  const { accuracy } = await train(folder, 10, { method: { budgets: 'weak' } })
  const widths = Array.from({ length: BASES }, (_, i) => accuracy[`width ${i + 1}/${BASES}`] as number)
  t.log(shown(widths))
  t.true((widths.at(-1) as number) > (widths[0] as number))
  t.true((widths.at(-1) as number) > 0.4)
})

withSharedData('digits', 'robustness goes up and accuracy on clean rows down with lambda, within two points; attacked, 1 is above 0', async (t, folder) => {
  const lambdas = [0, 0.25, 0.5, 0.75, 1]
  const bySeed: MixOutcome[] = []
  for (const seed of SEEDS.slice(0, 2)) bySeed.push(await train(folder, seed, { strategy: 'split-mix-robust', training: { ...TRAINING, rounds: 50 }, method: { bases: 2, epsilon: 0.1, attackSteps: 4, low: 0, high: 1 } }))
  const of = (name: (lambda: number) => string): number[] => lambdas.map(lambda => mean(bySeed.map(({ accuracy }) => accuracy[name(lambda)] as number)))
  const [clean, attacked] = [of(lambda => `lambda ${lambda}`), of(lambda => `lambda ${lambda} attacked`)]
  t.log(`clean ${shown(clean)}, attacked ${shown(attacked)}`)
  for (let i = 1; i < lambdas.length; i++) {
    t.true((clean[i] as number) <= (clean[i - 1] as number) + 0.02)
    t.true((attacked[i] as number) >= (attacked[i - 1] as number) - 0.02)
  }
  t.true((attacked.at(-1) as number) > (attacked[0] as number))
})
