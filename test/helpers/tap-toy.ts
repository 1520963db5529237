/**
 * TAP at toy scale: six sites of one kind of row, tasks of four and three classes; two sites have only the first, two only the
 * second, two both. Every site labels by a rule of its own, as far from the common one as `tilt` says. Two sites train in a
 * step, fifteen gradient steps each.
 */
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { Random, deriveSeed } from '../../src/random.ts'
import { byName } from './tensors.ts'
import { charterBy, oneHost } from './charters.ts'
import { simulate } from '../../src/federation/simulator.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { ClientData, Dataset, InputSpec, Rows } from '../../src/data/dataset.ts'
import type { MethodSpec } from '../../src/methods/index.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

const COLUMNS = 12
const HIDDEN = 24
const ROUNDS = 30
const SHARE = 1 / 3
const INPUT: InputSpec = { modality: 'table', shape: [COLUMNS] }
const TASKS: readonly TaskSpec[] = [4, 3].map((channels, i) => ({ id: 'ab'[i] as string, kind: 'classes', channels, targets: 1, positions: [1], metric: 'accuracy' }))
const [A, B] = TASKS as [TaskSpec, TaskSpec]
const SITES = [[A], [A], [B], [B], [A, B], [A, B]].map((tasks, i) => ({ id: `site-${i}`, tasks }))

export interface ToyInit {
  readonly seed: number
  readonly samples: number
  /** How far each site's rule is from the common one. */
  readonly tilt: number
}

export interface ToyResult {
  /** Mean test loss over sites and their tasks, by predictor. */
  readonly losses: Readonly<Record<string, number>>
  /** Replaced tasks of all sites, by step of the clock. */
  readonly replaced: readonly number[]
}

function matrix (random: Random, rows: number, columns: number, deviation = 1): Float64Array {
  return Float64Array.from({ length: rows * columns }, () => deviation * random.normal())
}

function toySites ({ seed, samples, tilt }: ToyInit): ClientData[] {
  const random = new Random(deriveSeed(seed, 'toy'))
  const hidden = matrix(random, COLUMNS, HIDDEN)
  const common = TASKS.map(({ channels }) => matrix(random, HIDDEN, channels))
  return SITES.map(({ id, tasks }) => {
    const rules = common.map(rule => rule.map(value => value + tilt * random.normal()))
    const shift = matrix(random, 1, COLUMNS, 0.4)
    const draw = (count: number): Rows => {
      const x = Float32Array.from({ length: count * COLUMNS }, (_, i) => random.normal() + (shift[i % COLUMNS] as number))
      const y = Object.fromEntries(TASKS.map(({ id, channels }, t) => [id, Float32Array.from({ length: count }, (_, row) => {
        const active = Array.from({ length: HIDDEN }, (_, h) => Math.max(0, Array.from({ length: COLUMNS }, (_, c) => (x[row * COLUMNS + c] as number) * (hidden[c * HIDDEN + h] as number)).reduce((a, b) => a + b, 0)))
        const scores = Array.from({ length: channels }, (_, c) => active.reduce((sum, value, h) => sum + value * (rules[t]?.[h * channels + c] as number), random.normal()))
        return scores.indexOf(Math.max(...scores))
      })]).filter(([id]) => tasks.some(task => task.id === id)))
      return { count, x, y, source: Int32Array.from({ length: count }, (_, i) => i) }
    }
    return { id, input: INPUT, tasks, train: draw(samples), holdout: draw(4), test: draw(250) }
  })
}

async function train (backend: Backend, seed: number, sites: readonly ClientData[], { rounds, method }: { readonly rounds: number, readonly method: Readonly<Record<string, unknown>> }): Promise<{ losses: Map<string, number[]>, replaced: number[] }> {
  const dataset: Dataset = { name: 'toy', input: INPUT, tasks: TASKS, clientIds: sites.map(({ id }) => id), recipe: {}, client: async id => sites.find(site => site.id === id) as ClientData }
  const charter = charterBy('tap', dataset, {
    seed,
    model: { width: 16, layers: 1, hidden: 16, attention: false, embedder: { kind: 'row' } },
    training: { rounds, localSteps: 15, batch: 16, optimiser: 'sgd', lrLocal: 0.02, weightDecay: 0 },
    method: { warmupRounds: 0, clip: 0, ...method }
  })
  const replaced = new Array<number>(rounds).fill(0)
  const plain: ClientReport[] = []
  const { clients } = await simulate(oneHost({
    charter,
    dataset,
    backend,
    onTrainers: async (at, { clients }) => {
      if (at === 'start') return
      for (const [i, trainer] of [...clients.values()].entries()) {
        const state = await trainer.save()
        ;(byName(state)['tap/replaced'] ?? []).forEach((count: number, step: number) => { replaced[step] = (replaced[step] as number) + count })
        plain.push(await tunedPlainly(backend, charter, sites[i] as ClientData, state))
      }
    }
  }))
  const losses = new Map<string, number[]>()
  const add = (name: string, loss: number): void => { losses.set(name, [...losses.get(name) ?? [], loss]) }
  for (const { tasks } of clients) for (const { scores } of tasks) for (const [name, { all }] of Object.entries(scores)) add(name, all.loss as number)
  for (const { tasks } of plain) for (const { scores } of tasks) add('stage 2 without distillation', scores.federated?.all.loss as number)
  return { losses, replaced }
}

/** Stage 2 from the same state, without the teacher. */
async function tunedPlainly (backend: Backend, charter: Charter, site: ClientData, state: readonly NamedTensor[]): Promise<ClientReport> {
  const plain = { ...charter, method: { ...charter.method as MethodSpec, kdWeight: 0, kdWeightText: 0 } }
  const trainer = new ClientTrainer(backend, plain, site, { control: false, baseline: false })
  try {
    trainer.load(state)
    await trainer.settle()
    for (const split of ['holdout', 'test'] as const) await trainer.evaluate('federated', split)
    return await trainer.report()
  } finally {
    trainer.dispose()
  }
}

/** One run, and what every site learns alone in as many steps as its turn comes on average. */
export async function tapToy (backend: Backend, init: ToyInit): Promise<ToyResult> {
  const sites = toySites(init)
  const { losses, replaced } = await train(backend, init.seed, sites, { rounds: ROUNDS, method: { share: SHARE } })
  const alone: number[] = []
  for (const site of sites) {
    const { losses } = await train(backend, init.seed, [site], { rounds: Math.round(ROUNDS * SHARE), method: { tuneSteps: 0 } })
    alone.push(...losses.get('agreed') as number[])
  }
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  return { losses: { ...Object.fromEntries([...losses].map(([name, values]) => [name, mean(values)])), local: mean(alone) }, replaced }
}
