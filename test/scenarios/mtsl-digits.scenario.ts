/** MTSL's shape on real pictures with the product's own engine: four sites, three seeds. */
import { backendOn } from '../helpers/rungs.ts'
import { digitAccuracies, digitSites } from '../helpers/digit-sites.ts'
import { withSharedData } from '../helpers/shared-data.ts'
import type { DigitSitesInit } from '../helpers/digit-sites.ts'
import type { ExecutionContext } from 'ava'

const SEEDS = [10, 11, 12]
const backend = await backendOn('wasm')

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const points = (share: number): string => `${(100 * share).toFixed(1)} points`

/** Mean accuracy over seeds and over the sites from the given one on. */
async function accuracy (t: ExecutionContext, folder: string, strategy: 'mtsl' | 'fedavg', init: Omit<DigitSitesInit, 'seed'>, from = 0): Promise<number> {
  const seeds: number[] = []
  for (const seed of SEEDS) {
    const sites = await digitAccuracies(backend, strategy, await digitSites(folder, { seed, ...init }), seed)
    t.log(`${strategy}, ${init.sites}${init.shuffled === undefined ? '' : ', one site shuffled'}, seed ${seed}: ${sites.map(value => value.toFixed(3)).join(' ')}`)
    seeds.push(mean(sites.slice(from)))
  }
  return mean(seeds)
}

withSharedData('digits', 'fully different sites: MTSL is 10 points above FedAvg or more', async (t, folder) => {
  const gain = await accuracy(t, folder, 'mtsl', { sites: 'different' }) - await accuracy(t, folder, 'fedavg', { sites: 'different' })
  t.log(points(gain))
  t.true(gain >= 0.1)
})

withSharedData('digits', 'sites that are alike: FedAvg is at most 1 point below MTSL', async (t, folder) => {
  const gain = await accuracy(t, folder, 'fedavg', { sites: 'alike' }) - await accuracy(t, folder, 'mtsl', { sites: 'alike' })
  t.log(points(gain))
  t.true(gain >= -0.01)
})

for (const sites of ['different', 'alike'] as const) {
  withSharedData('digits', `shuffled labels at one site move the others by less than 2 points under MTSL: ${sites} sites`, async (t, folder) => {
    const drop = async (strategy: 'mtsl' | 'fedavg'): Promise<number> =>
      await accuracy(t, folder, strategy, { sites }, 1) - await accuracy(t, folder, strategy, { sites, shuffled: 0 }, 1)
    const [mtsl, fedavg] = [await drop('mtsl'), await drop('fedavg')]
    t.log(`drop of the others: mtsl ${points(mtsl)}, fedavg ${points(fedavg)}`)
    t.true(Math.abs(mtsl) < 0.02)
    // Sites that differ did not teach each other under FedAvg in the first place: there is nothing to lose.
    if (sites === 'alike') t.true(fedavg > mtsl)
  })
}
