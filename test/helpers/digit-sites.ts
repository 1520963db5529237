/** Digits as a small consortium whose sites are made alike, fully different, or one of them wrong; and what a strategy makes of it. */
import { charterBy, oneHost, withoutRecipe } from './charters.ts'
import { openDataset } from '../../src/data/open.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { pickRows } from '../../src/data/pool.ts'
import { Random, deriveSeed } from '../../src/random.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { ClientData, Dataset, Rows } from '../../src/data/dataset.ts'

const SIDE = 16
const PATCH = 8
const TEST_ROWS = 300

export interface DigitSitesInit {
  readonly seed: number
  /**
   * alike: four sites with rows of all domains mixed; different: a site is a domain, the pixels of every patch stand in an order of the
   * site's own (a rotation of its inputs, as in the toy), and it numbers the ten digits in an order of its own.
   */
  readonly sites: 'alike' | 'different'
  /** Place of the site whose training labels are dealt out anew. */
  readonly shuffled?: number
}

export async function digitSites (folder: string, { seed, sites, shuffled }: DigitSitesInit): Promise<Dataset> {
  const dataset = await openDataset(folder, { seed, rows: 250, tasks: ['digit'], ...sites === 'alike' ? { partition: 'iid', clients: 4 } : {} })
  return {
    ...dataset,
    client: async id => {
      const data = await dataset.client(id)
      const kept = { ...data, test: fewer(data.test) }
      const placed = sites === 'alike' ? kept : own(kept, seed)
      return dataset.clientIds[shuffled ?? -1] === id ? relabelled(placed, deriveSeed(seed, 'shuffled labels')) : placed
    }
  }
}

function fewer (rows: Rows): Rows {
  const count = Math.min(TEST_ROWS, rows.count)
  const picked = Array.from({ length: count }, (_, i) => Math.floor(i * rows.count / count))
  return pickRows(rows, picked)
}

/** The site's own order of pixels within a patch and of classes. */
function own (data: ClientData, seed: number): ClientData {
  const order = new Random(deriveSeed(seed, 'order of pixels', data.id)).permutation(PATCH * PATCH)
  const names = new Random(deriveSeed(seed, 'order of digits', data.id)).permutation(10)
  const from = Array.from({ length: SIDE * SIDE }, (_, at) => {
    const [y, x] = [Math.floor(at / SIDE), at % SIDE]
    const within = order[(y % PATCH) * PATCH + x % PATCH] as number
    return (y - y % PATCH + Math.floor(within / PATCH)) * SIDE + x - x % PATCH + within % PATCH
  })
  const turn = (rows: Rows): Rows => ({
    ...rows,
    x: rows.x.map((_, i) => rows.x[i - i % from.length + (from[i % from.length] as number)] as number),
    y: { digit: (rows.y.digit as Float32Array).map(digit => names[digit] as number) }
  })
  return { ...data, train: turn(data.train), holdout: turn(data.holdout), test: turn(data.test) }
}

function relabelled (data: ClientData, seed: number): ClientData {
  const order = new Random(seed).permutation(data.train.count)
  const digit = data.train.y.digit as Float32Array
  return { ...data, train: { ...data.train, y: { digit: digit.map((_, row) => digit[order[row] as number] as number) } } }
}

/** Gradient steps of every site, in either strategy. FedAvg averages every five, as in the toy. */
const STEPS = 150

/**
 * Accuracy of the federated model on each site's own test rows. MTSL's trunk steps by a quarter of its clients' rate (eta_s =
 * eta / M): at the clients' own rate a site with shuffled labels moved the others by -2 to 3 points, at this one by less than 1.
 */
export async function digitAccuracies (backend: Backend, name: 'mtsl' | 'fedavg', dataset: Dataset, seed: number): Promise<readonly number[]> {
  const clock = name === 'fedavg' ? { rounds: STEPS / 5, stepsPerRound: 1, localSteps: 5 } : { rounds: 1, stepsPerRound: STEPS }
  const charter = charterBy(name, withoutRecipe(dataset), {
    seed,
    model: { width: 32, layers: 1, heads: 4, hidden: 64, embedder: { patch: PATCH } },
    training: { ...clock, batch: 32, lrTrunk: 1e-3, lrClient: 4e-3, lrLocal: 4e-3, smoothing: 0.1 }
  })
  const { clients } = await simulate(oneHost({ charter, dataset, backend }))
  return clients.map(({ tasks }) => tasks[0]?.scores.federated?.value as number)
}
