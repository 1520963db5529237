/**
 * MTSL's shape on real pictures with the product's own engine, one seed; three seeds and the shuffled labels are in
 * test/scenarios/mtsl-digits.scenario.ts.
 */
import { backendOn } from '../helpers/rungs.ts'
import { digitAccuracies, digitSites } from '../helpers/digit-sites.ts'
import { withSharedData } from '../helpers/shared-data.ts'

const SEED = 11

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

withSharedData('digits', 'digits of four fully different sites: MTSL is 10 points above FedAvg or more', async (t, folder) => {
  const backend = await backendOn('wasm')
  const dataset = await digitSites(folder, { seed: SEED, sites: 'different' })
  const [mtsl, fedavg] = [mean(await digitAccuracies(backend, 'mtsl', dataset, SEED)), mean(await digitAccuracies(backend, 'fedavg', dataset, SEED))]
  t.log(`mtsl ${mtsl.toFixed(3)}, fedavg ${fedavg.toFixed(3)}`)
  t.true(mtsl - fedavg >= 0.1, `${mtsl} against ${fedavg}`)
})
