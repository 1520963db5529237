/** TAP on pictures and sentences: two sites of handwritten digits, two of sentences, one trunk, three seeds. */
import { fewTestRows } from '../helpers/few-test-rows.ts'
import { charterBy, oneHost } from '../helpers/charters.ts'
import { backendOn } from '../helpers/rungs.ts'
import { openDataset } from '../../src/data/open.ts'
import { withSharedData } from '../helpers/shared-data.ts'
import { simulate } from '../../src/federation/simulator.ts'

const SEEDS = [1, 2, 3]
/** Test rows of a site: an accuracy is then sure to within .03, and the mean over sites and seeds to .01. */
const TEST_ROWS = 200
const backend = await backendOn('tensorflow')

withSharedData('digits,sentences', 'stage 2 is at least stage 1, and stage 1 at least what a site learns alone: pictures and sentences, mean of three seeds', async (t, folders) => {
  const all = new Map<string, number[]>()
  for (const seed of SEEDS) {
    const dataset = fewTestRows(await openDataset(folders, { seed, clients: 4, tasks: ['digit', 'polarity'] }), TEST_ROWS)
    const charter = charterBy('tap', dataset, { seed, model: { width: 32, layers: 1, hidden: 64 }, training: { rounds: 10, localSteps: 10, batch: 16 } })
    const { clients } = await simulate(oneHost({ charter, dataset, backend, baseline: true }))
    const seedOf = (name: string): number => clients.reduce((sum, { tasks }) => sum + (tasks[0]?.scores[name]?.value as number), 0) / clients.length
    const names = ['local', 'agreed', 'agreed, tuned', 'stage 1', 'federated']
    for (const name of names) all.set(name, [...all.get(name) ?? [], seedOf(name)])
    t.log(`seed ${seed}: ${names.map(name => `${name} ${seedOf(name).toFixed(3)}`).join(', ')}`)
  }
  const mean = (name: string): number => (all.get(name) as number[]).reduce((sum, value) => sum + value, 0) / SEEDS.length
  t.log(`mean: ${[...all.keys()].map(name => `${name} ${mean(name).toFixed(3)}`).join(', ')}`)
  t.true(mean('federated') >= mean('stage 1'))
  t.true(mean('stage 1') >= mean('local'))
})
