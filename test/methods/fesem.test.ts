import { readFileSync } from 'node:fs'
import test from 'ava'
import { charterBy, oneHost } from '../helpers/charters.ts'
import { close } from '../helpers/tensors.ts'
import { backendOn } from '../helpers/rungs.ts'
import { farthestFirst, nearest } from '../../src/methods/fesem.ts'
import { pulled } from '../../src/training/local-rules.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { weightedMean } from '../../src/training/contributions.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { SIDE, clientData } from '../helpers/synthetic.ts'
import type { ClientData, Dataset } from '../../src/data/dataset.ts'

interface EmStep { readonly assign: number[], readonly objective: number, readonly centers: number[][] }
interface Em { readonly init: number[][], readonly steps: EmStep[] }
interface Vectors {
  readonly weights: number[][]
  readonly samples: number[]
  readonly goodStart: Em
  readonly sameGroupStart: Em
  readonly sampleWeighted: Em
  readonly emptyCentre: Em & { readonly points: number[][] }
  readonly proxStep: { readonly w: number[], readonly grad: number[], readonly center: number[], readonly lr: number, readonly mu: number, readonly expected: number[] }
}
const vectors = JSON.parse(readFileSync(new URL('../vectors/methods/fesem-clusters.json', import.meta.url), 'utf8')) as Vectors
const SINGLE = 1e-6

const backend = await backendOn('wasm')

/** Steps of EM until an assignment repeats. */
function steps (points: readonly number[][], { init }: Em, samples: readonly number[]): EmStep[] {
  const made: EmStep[] = []
  let centers = init
  for (;;) {
    const found = points.map(point => nearest(point, centers))
    const assign = found.map(({ index }) => index)
    centers = centers.map((centre, k) => {
      const members = points.flatMap((point, i) => assign[i] === k ? [{ point, samples: samples[i] as number }] : [])
      const total = members.reduce((sum, { samples }) => sum + samples, 0)
      return members.length === 0 ? centre : [...weightedMean(members.map(({ point }) => Float32Array.from(point)), members.map(({ samples }) => samples / total), new Float32Array(centre.length))]
    })
    made.push({ assign, objective: found.reduce((sum, { square }) => sum + square, 0) / points.length, centers })
    if (made.length > 1 && made.at(-2)?.assign.join() === assign.join()) return made
  }
}

for (const [name, samples] of [['goodStart', undefined], ['sameGroupStart', undefined], ['sampleWeighted', vectors.samples]] as const) {
  test(`EM goes the way of the reference: ${name}`, t => {
    const made = steps(vectors.weights, vectors[name], samples ?? vectors.weights.map(() => 1))
    t.deepEqual(made.map(({ assign }) => assign), vectors[name].steps.map(({ assign }) => assign))
    made.forEach(({ centers, objective }, i) => {
      close(t, 'centers', centers.flat(), vectors[name].steps[i]?.centers.flat() ?? [], SINGLE)
      t.true(Math.abs(objective - (vectors[name].steps[i]?.objective as number)) < 1e-6)
      if (i > 0) t.true(objective <= (made[i - 1]?.objective as number) + SINGLE)
    })
  })
}

test('a centre without members keeps its value', t => {
  const { points, steps: [expected] } = vectors.emptyCentre
  const [made] = steps(points, vectors.emptyCentre, points.map(() => 1))
  t.deepEqual(made?.assign, expected?.assign)
  t.deepEqual(made?.centers[1], [50, 50, 50])
})

test('the proximal step pulls to the own centre', t => {
  const { w, grad, center, lr, mu, expected } = vectors.proxStep
  const gradient = pulled(Float64Array.from(grad), Float64Array.from(w), Float64Array.from(center), mu)
  close(t, 'w', w.map((value, i) => value - lr * (gradient[i] as number)), expected, 1e-12)
})

test('first centres are the first point and those farthest from all before', t => {
  t.deepEqual(farthestFirst([[0], [1], [5], [4], [-3]], 3), [0, 2, 4])
  t.deepEqual(farthestFirst([[0], [1]], 3), [0, 1])
  t.deepEqual(farthestFirst([], 2), [])
})

/** Ten sites; half of them call left what the others call right. */
function twoMeanings (): Dataset {
  const clientIds = Array.from({ length: 10 }, (_, i) => `site-${i}`)
  const clients = new Map(clientIds.map((id, i): [string, ClientData] => {
    const data = clientData({ id, tasks: [SIDE] }, { rows: [40, 10, 60] })
    const turn = ({ y, ...rows }: ClientData['train']): ClientData['train'] => ({ ...rows, y: { side: (y.side as Float32Array).map(value => i % 2 === 0 ? value : SIDE.channels - 1 - value) } })
    return [id, { ...data, train: turn(data.train), holdout: turn(data.holdout), test: turn(data.test) }]
  }))
  const [first] = clients.values()
  return { name: 'two meanings', input: (first as ClientData).input, tasks: [SIDE], clientIds, recipe: {}, client: async id => clients.get(id) as ClientData }
}

async function run (strategy: string, dataset: Dataset, own: { method?: Readonly<Record<string, unknown>>, rounds?: number } = {}) {
  const charter = charterBy(strategy, dataset, { seed: 1, model: { width: 16, layers: 1, heads: 2, hidden: 16 }, training: { rounds: own.rounds ?? 6, localSteps: 10, batch: 16, warmup: 5 }, method: own.method })
  const { clients } = await simulate(oneHost({ charter, dataset, backend }))
  return clients
}

const accuracyOf = (reports: Awaited<ReturnType<typeof run>>): number => reports.reduce((sum, { tasks }) => sum + (tasks[0]?.scores.federated?.value ?? 0), 0) / reports.length

test('with one centre it is FedAvg, to the last bit of every score', async t => {
  const dataset = twoMeanings()
  const [one, fedavg] = [await run('fesem', dataset, { method: { centres: 1 }, rounds: 2 }), await run('fedavg', dataset, { rounds: 2 })]
  t.deepEqual(one, fedavg)
})

test('where labels have two meanings, two centres are right where one mean cannot be', async t => {
  const dataset = twoMeanings()
  const [fesem, fedavg] = [accuracyOf(await run('fesem', dataset, { method: { centres: 2 } })), accuracyOf(await run('fedavg', dataset))]
  t.log(`fesem ${fesem.toFixed(3)}, fedavg ${fedavg.toFixed(3)}`)
  t.true(fesem > fedavg + 0.1)
})

test('more tensors than a message takes are refused with the charter', t => {
  const dataset = twoMeanings()
  const tasks = Array.from({ length: 10 }, (_, i) => ({ ...SIDE, id: `side-${i}` }))
  const error = t.throws(() => createCharter({ name: 'many', seed: 1, input: dataset.input, tasks, ...settingsOf(findStrategy('fesem'), {}, { method: { centres: 64 } }) }), { instanceOf: InvalidParametersError })
  t.is(error.message, 'method fesem would exchange 768 tensors at once, a message has at most 512')
})
