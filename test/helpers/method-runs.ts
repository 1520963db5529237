/** Small consortia whose sites have reasons to differ, and runs of methods on them in one process. */
import { Random, deriveSeed } from '../../src/random.ts'
import { SIDE, clientData } from './synthetic.ts'
import { charterBy, oneHost } from './charters.ts'
import { concatRows, pickRows } from '../../src/data/pool.ts'
import { simulate } from '../../src/federation/simulator.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { ClientData, Dataset, Rows } from '../../src/data/dataset.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

/** Which quadrant is bright, with a fifth label that nobody has: reports then tell own rows and all rows apart. */
export const QUADRANT: TaskSpec = { ...SIDE, channels: 5 }

export interface SkewedInit {
  readonly sites: number
  /** Before `keep`: train, hold-out, test. */
  readonly rows: readonly [number, number, number]
  /** Whether a site has a training row of this label when it has so many already. Default: it has all. */
  readonly keep?: (site: number, label: number, before: number) => boolean
  /** What a site calls a label. Default: as all do. */
  readonly named?: (site: number, label: number) => number
  /** Deviation of what is added to every pixel. */
  readonly noise: number
}

/** With the test rows of all sites as `all`. */
export function skewed ({ sites, rows, keep = () => true, named = (_, label) => label, noise }: SkewedInit): Dataset & { readonly all: Rows } {
  const clients = new Map(Array.from({ length: sites }, (_, site): [string, ClientData] => {
    const id = `site-${site}`
    const data = clientData({ id, tasks: [QUADRANT] }, { rows })
    const blurred = (split: Rows, name: string): Rows => {
      const random = new Random(deriveSeed(1, 'noise', id, name))
      return { ...split, x: split.x.map(value => value + noise * random.normal()), y: { side: (split.y.side as Float32Array).map(label => named(site, label)) } }
    }
    const seen = new Map<number, number>()
    const train = [...data.train.y.side as Float32Array].flatMap((label, row) => {
      const before = seen.get(label) ?? 0
      if (!keep(site, label, before)) return []
      seen.set(label, before + 1)
      return [row]
    })
    return [id, { ...data, train: blurred(pickRows(data.train, train), 'train'), holdout: blurred(data.holdout, 'holdout'), test: blurred(data.test, 'test') }]
  }))
  const [first] = clients.values()
  return {
    name: 'skewed',
    input: (first as ClientData).input,
    tasks: [QUADRANT],
    clientIds: [...clients.keys()],
    recipe: {},
    client: async id => clients.get(id) as ClientData,
    all: concatRows([...clients.values()].map(({ test }) => test))
  }
}

export interface RunInit {
  readonly method?: Readonly<Record<string, unknown>>
  readonly rounds?: number
  readonly seed?: number
  readonly localSteps?: number
  readonly hosts?: readonly string[]
}

export async function trainedBy (backend: Backend, strategy: string, dataset: Dataset & { readonly all: Rows }, { method, rounds = 6, seed = 1, localSteps = 10, hosts = ['host'] }: RunInit = {}): Promise<SimulationResult> {
  const charter = charterBy(strategy, dataset, { seed, model: { width: 16, layers: 1, heads: 2, hidden: 16 }, training: { rounds, localSteps, batch: 16, warmup: 5 }, method })
  return await simulate(oneHost({ charter, dataset, backend, hosts, all: dataset.all }))
}

/** Mean over sites of the first task's score on their own test rows, or on those of all sites. */
export function meanScore ({ clients }: SimulationResult, on: 'own' | 'all', predictor = 'federated'): number {
  const of = ({ tasks: [task] }: SimulationResult['clients'][number]): number => task?.scopes?.[on].scores[predictor]?.value ?? Number.NaN
  return clients.reduce((sum, client) => sum + of(client), 0) / clients.length
}
