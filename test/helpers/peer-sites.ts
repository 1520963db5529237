/**
 * Six sites with a table each, drawn as the toy that gave section 12 of the method its figures: six overlapping clouds of
 * points in ten dimensions. How alike the sites' mixes of labels are is a Dirichlet's alpha; the last sites may mean something
 * else by every label, each in its own way.
 */
import { charterBy } from './charters.ts'
import { Random, deriveSeed } from '../../src/random.ts'
import { dirichletShares } from '../../src/data/partition.ts'
import type { BenchSpec } from '../../src/bench/spec.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { Dataset, InputSpec, Rows } from '../../src/data/dataset.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

export const COLUMNS = 10
export const CLASSES = 6
export const TABLE: InputSpec = { modality: 'table', shape: [COLUMNS], columns: Array.from({ length: COLUMNS }, (_, i) => `c${i}`) }
export const KIND: TaskSpec = { id: 'kind', kind: 'classes', channels: CLASSES, targets: 1, positions: [1], metric: 'accuracy' }
/** How far along the first two axes a row is from the middle. */
export const REACH: TaskSpec = { id: 'reach', kind: 'regression', channels: 2, targets: 2, positions: [1], metric: 'mae' }

export interface PeerSitesInit {
  readonly seed: number
  readonly alpha: number
  readonly sites?: number
  /** Of them, the last ones, with labels that mean something else. */
  readonly permuted?: number
  /** Train, hold-out, test. Default 80, 60, 300. */
  readonly rows?: readonly [number, number, number]
  readonly tasks?: readonly TaskSpec[]
}

export function peerSites ({ seed, alpha, sites = 6, permuted = 0, rows = [80, 60, 300], tasks = [KIND] }: PeerSitesInit): Dataset {
  const mixes = dirichletShares(sites, CLASSES, alpha, new Random(deriveSeed(seed, 'mixes')))
  const clouds = new Random(deriveSeed(seed, 'clouds'))
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: COLUMNS }, () => 1.1 * clouds.normal()))
  const meanings = mixes.map((_, site) => site < sites - permuted ? Array.from({ length: CLASSES }, (_, label) => label) : deranged(new Random(deriveSeed(seed, 'meaning', site))))
  const clientIds = mixes.map((_, site) => `site-${site + 1}`)
  return {
    name: 'clouds',
    input: TABLE,
    tasks,
    clientIds,
    recipe: {},
    client: async id => {
      const site = clientIds.indexOf(id)
      const part = (name: string, count: number): Rows =>
        draw(count, { mix: mixes[site] as number[], centres, meaning: meanings[site] as number[], sign: site < sites - permuted ? 1 : -1 }, tasks, new Random(deriveSeed(seed, 'rows', id, name)))
      return { id, input: TABLE, tasks, train: part('train', rows[0]), holdout: part('holdout', rows[1]), test: part('test', rows[2]) }
    }
  }
}

/** Two small architectures; a training of a hundred steps. */
export function peerCharter (tasks: readonly TaskSpec[], seed: number, changes: { training?: CharterOptions['training'], bench?: Partial<BenchSpec> } = {}): Charter {
  return charterBy('fedpae', { name: 'peers', input: TABLE, tasks, recipe: {} }, {
    seed,
    model: { width: 16, layers: 1, heads: 2, hidden: 16 },
    training: { rounds: 5, stepsPerRound: 20, batch: 16, lrLocal: 1e-2, warmup: 5, weightDecay: 0.01, ...changes.training },
    bench: { architectures: [{}, { width: 8, hidden: 32 }], ...changes.bench }
  })
}

/** No label stays what it is. */
function deranged (random: Random): number[] {
  for (;;) {
    const order = random.permutation(CLASSES)
    if (order.every((to, from) => to !== from)) return order
  }
}

interface Site {
  readonly mix: readonly number[]
  readonly centres: ReadonlyArray<readonly number[]>
  /** What each label is called here, and which way the reach points. */
  readonly meaning: readonly number[]
  readonly sign: 1 | -1
}

function draw (count: number, { mix, centres, meaning, sign }: Site, tasks: readonly TaskSpec[], random: Random): Rows {
  const x = new Float32Array(count * COLUMNS)
  const kind = new Float32Array(count)
  const reach = new Float32Array(count * 2)
  for (let row = 0; row < count; row++) {
    let [label, rest] = [0, random.next()]
    while (label < CLASSES - 1 && rest >= (mix[label] as number)) rest -= mix[label++] as number
    const centre = centres[label] as readonly number[]
    for (let c = 0; c < COLUMNS; c++) x[row * COLUMNS + c] = (centre[c] as number) + 1.5 * random.normal()
    kind[row] = meaning[label] as number
    for (let c = 0; c < 2; c++) reach[row * 2 + c] = sign * Math.abs(x[row * COLUMNS + c] as number) + 0.1 * random.normal()
  }
  const all: Readonly<Record<string, Float32Array>> = { kind, reach }
  return { count, x, y: Object.fromEntries(tasks.map(({ id }) => [id, all[id] as Float32Array])), source: Int32Array.from({ length: count }, (_, i) => i) }
}
