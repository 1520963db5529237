import { readFileSync } from 'node:fs'
import test from 'ava'
import { Body } from '../../src/methods/mupfl/body.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { SIDE, clientData } from '../helpers/synthetic.ts'
import { WholeModel } from '../../src/training/whole-model.ts'
import { activityOf, droppedUnits, remembered, silence, waysOut } from '../../src/methods/mupfl/activity.ts'
import { backendOn } from '../helpers/rungs.ts'
import { balanced, countsOf, meansOf, pooledMeans, priorOf, tunedReadout } from '../../src/methods/mupfl/classifier.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { close } from '../helpers/tensors.ts'
import { clustersOf, sharesOf, similarity } from '../../src/methods/mupfl/clusters.ts'
import { createHead } from '../../src/models/head.ts'
import { createTask } from '../../src/tasks/index.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { mupfl } from '../../src/methods/mupfl/index.ts'
import { skewed, trainedBy } from '../helpers/method-runs.ts'
import { smallCharter } from '../helpers/federation.ts'
import type { Parameter } from '../../src/graph/graph.ts'

interface Vectors {
  readonly bavd: { readonly batches: number[][], readonly beta: number, readonly keepFraction: number, readonly maps: number[][], readonly mask: number[] }
  readonly acmu: { readonly weights: number[][], readonly activationMaps: number[][], readonly samples: number[], readonly similarity: number[][], readonly cut: number, readonly groups: number[][], readonly clusterModels: number[][], readonly globalModel: number[] }
  readonly pkcf: { readonly classCounts: number[], readonly prior: number[], readonly logits: number[][], readonly labels: number[], readonly balancedSoftmaxLoss: number, readonly plainLoss: number }
}
const { bavd, acmu, pkcf } = JSON.parse(readFileSync(new URL('../vectors/methods/mupfl-modules.json', import.meta.url), 'utf8')) as Vectors
const EXACT = 1e-9
const SINGLE = 1e-6

const backend = await backendOn('wasm')

test('activity maps and the units that go untrained are those of the reference', t => {
  let map = new Float64Array(bavd.batches[0]?.length ?? 0)
  bavd.batches.forEach((activity, i) => {
    map = remembered(map, activity, bavd.beta)
    close(t, `map ${i}`, map, bavd.maps[i] ?? [], EXACT)
  })
  t.deepEqual(droppedUnits(map, bavd.keepFraction), bavd.mask.flatMap((kept, unit) => kept === 1 ? [] : [unit]))
})

test('a layer keeps at least what was asked for, and of equals the lower', t => {
  t.deepEqual(droppedUnits([1, 1, 1, 1, 1], 0.5), [3, 4])
  t.deepEqual(droppedUnits([1, 2, 3], 1), [])
  t.deepEqual(droppedUnits([3, 2, 1], 0.01), [1, 2])
})

test('activity is the mean distance from 0', t => {
  t.deepEqual([...activityOf(Float32Array.of(1, -2, -3, 4), 2)], [2, 3])
})

test('similarities, clusters and the common model are those of the reference', t => {
  const similarities = acmu.weights.map((one, i) => acmu.weights.map((other, j) => similarity([[one], [other]], [[acmu.activationMaps[i]], [acmu.activationMaps[j]]])))
  close(t, 'similarity', similarities.flat(), acmu.similarity.flat(), EXACT)
  const clusters = clustersOf(similarities, acmu.cut)
  t.deepEqual(clusters, acmu.groups)
  const shares = sharesOf(clusters, acmu.samples)
  const weighted = (sites: readonly number[], by: number): number[] => (acmu.weights[0] ?? []).map((_, k) => sites.reduce((sum, site) => sum + (shares[site] as number) * (acmu.weights[site]?.[k] as number), 0) / by)
  clusters.forEach((cluster, c) => { close(t, `cluster ${c}`, weighted(cluster, cluster.length / acmu.weights.length), acmu.clusterModels[c] ?? [], EXACT) })
  close(t, 'common', weighted(acmu.weights.map((_, i) => i), 1), acmu.globalModel, EXACT)
})

test('with one cluster sites weigh by their rows, and one without a unit not at all', t => {
  t.deepEqual(sharesOf([[0, 1, 2]], [10, 30, 0]), [0.25, 0.75, 0])
  t.deepEqual(sharesOf([[0, 1], [2]], [10, 30, 0]), [0.25, 0.75, 0])
  t.deepEqual(sharesOf([[0, 1], [2], [3]], [0, 30, 5, 0]), [0, 0.5, 0.5, 0])
})

test('the balanced softmax is that of the reference', t => {
  const prior = priorOf(pkcf.classCounts)
  close(t, 'prior', prior, pkcf.prior, EXACT)
  const task = createTask({ ...SIDE, channels: pkcf.classCounts.length })
  const logits = { shape: [2, 1, 4], data: Float32Array.from(pkcf.logits.flat()) }
  const y = { shape: [2, 1, 1], data: Float32Array.from(pkcf.labels) }
  t.true(Math.abs(task.loss(balanced(logits, prior), y).value - pkcf.balancedSoftmaxLoss) < SINGLE)
  t.true(Math.abs(task.loss(logits, y).value - pkcf.plainLoss) < SINGLE)
})

test('a mean of few rows of a class does not leave, and means of several sites weigh by their rows', t => {
  const read = { shape: [4, 2], data: Float32Array.of(1, 2, 3, 4, 100, 100, 7, 7) }
  const one = meansOf(read, [0, 0, 1, -1], 3, 2)
  t.deepEqual([...one.counts], [2, 0, 0])
  t.deepEqual([...one.means], [2, 3, 0, 0, 0, 0])
  const pooled = pooledMeans([one, { counts: Float32Array.of(6, 0, 5), means: Float32Array.of(6, 7, 0, 0, 9, 9) }], 3, 2)
  t.deepEqual([...pooled.counts], [8, 0, 5])
  t.deepEqual([...pooled.means], [5, 6, 0, 0, 9, 9])
  t.deepEqual([...countsOf([0, 2, 2, -1], 3)], [1, 0, 2])
})

test('a last layer learns a class that is rare here from the mean that others have of it', t => {
  const task = createTask({ ...SIDE, channels: 3 })
  const read = { shape: [6, 2], data: Float32Array.of(1, 0, 1, 0.1, 0.9, 0, 0, 1, 0, 0.9, 0.1, 1) }
  const labels = Float32Array.of(0, 0, 0, 1, 1, 1)
  const init = { task, read, labels, least: 2, readout: new Float32Array(9), steps: 200, rate: 0.05, seed: 1 }
  const others = { counts: Float32Array.of(0, 0, 8), means: Float32Array.of(0, 0, 0, 0, -1, -1) }
  const scores = (readout: Float32Array, [a, b]: readonly [number, number]): number[] => [0, 1, 2].map(c => a * (readout[c] as number) + b * (readout[3 + c] as number) + (readout[6 + c] as number))
  const best = (values: readonly number[]): number => values.indexOf(Math.max(...values))
  const [alone, told] = [tunedReadout(init), tunedReadout({ ...init, others })]
  for (const readout of [alone, told]) t.deepEqual([best(scores(readout, [1, 0])), best(scores(readout, [0, 1]))], [0, 1])
  t.is(best(scores(told, [-1, -1])), 2)
  t.true((scores(told, [-1, -1])[2] as number) > (scores(alone, [-1, -1])[2] as number))
  t.deepEqual(tunedReadout({ ...init, others, least: 1, labels: Float32Array.of(0, 0, 0, 1, 1, 2) }), tunedReadout({ ...init, least: 1, labels: Float32Array.of(0, 0, 0, 1, 1, 2) }))
})

test('a pass without some units is that of a model that has none, and those get no gradient', async t => {
  const charter = smallCharter([SIDE], settingsOf(findStrategy('mupfl'), {}, {}))
  const data = clientData({ id: 'ada', tasks: [SIDE] })
  const { model, training, seed } = charter
  const whole = new WholeModel(backend, data, model, { seed, training, rate: 0 })
  const body = new Body(backend, { data, model, embedder: whole.embedder, units: whole.units })
  const layer = waysOut(buildTrunk(model.backbone))[0] as Parameter
  const trunk = whole.units.find(({ name }) => name === 'trunk')?.parameters as Float32Array
  const before = await body.hidden(data.train)
  t.is(before.length, 1)
  t.is(before[0]?.length, data.train.count * whole.embedder.tokens * model.backbone.hidden)
  const full = await whole.pass({ count: data.train.count, x: data.train.x, y: data.train.y })
  silence(trunk, layer, [0, 3])
  const half = await whole.pass({ count: data.train.count, x: data.train.x, y: data.train.y })
  t.not(half.losses[0]?.loss, full.losses[0]?.loss)
  const up = buildTrunk(model.backbone).parameters.find(({ name }) => name === 'block0.up.weight') as Parameter
  const gradient = half.gradients.get('trunk') as Float32Array
  for (const unit of [0, 3]) for (let row = 0; row < (up.shape[0] as number); row++) t.is(Math.abs(gradient[up.offset + row * model.backbone.hidden + unit] as number), 0)
  silence(gradient, layer, [0, 3])
  const width = layer.shape[1] as number
  t.true(gradient.subarray(layer.offset, layer.offset + width).every(value => value === 0))
  t.false(gradient.subarray(layer.offset + width, layer.offset + 2 * width).every(value => value === 0))
  const read = (await body.read(data.train)).get('side')
  t.deepEqual(read?.shape, [data.train.count, model.backbone.width])
  const { graph } = createHead(SIDE, whole.embedder, model.backbone.width, model.adapter)
  const head = whole.units.find(({ name }) => name === 'head/side')?.parameters as Float32Array
  const [weight, bias] = ['readout.weight', 'readout.bias'].map(part => graph.parameters.find(({ name }) => name === part) as Parameter) as [Parameter, Parameter]
  const logits = Float32Array.from({ length: data.train.count * SIDE.channels }, (_, i) => {
    const [row, c] = [Math.floor(i / SIDE.channels), i % SIDE.channels]
    let sum = head[bias.offset + c] as number
    for (let k = 0; k < width; k++) sum += (read?.data[row * width + k] as number) * (head[weight.offset + k * SIDE.channels + c] as number)
    return sum
  })
  const predicted = (await whole.predict(data.train)).get('side')?.data as Float32Array
  close(t, 'predictions', createTask(SIDE).link({ shape: [data.train.count, 1, SIDE.channels], data: logits }).data, predicted, 1e-5)
  body.dispose()
  whole.dispose()
})

test('with its modules off it is FedAvg, to the last bit of every score', async t => {
  const dataset = skewed({ sites: 3, rows: [30, 12, 20], noise: 0.3 })
  const off = await trainedBy(backend, 'mupfl', dataset, { rounds: 2, localSteps: 5, method: { keep: 1, keepLate: 1, cut: 2, tuneSteps: 0 } })
  t.deepEqual(off.clients, (await trainedBy(backend, 'fedavg', dataset, { rounds: 2, localSteps: 5 })).clients)
})

test('where two classes of four are rare everywhere, they are told more often and the others as before; no module off helps', async t => {
  const dataset = skewed({ sites: 4, rows: [120, 12, 150], noise: 0.8, keep: (_, label, before) => before < (label >= 2 ? 3 : 25) })
  const seeds = [1, 3]
  const of = async (strategy: string, method?: Readonly<Record<string, unknown>>): Promise<{ accuracy: number, rare: number, common: number }> => {
    const sites = (await Promise.all(seeds.map(async seed => (await trainedBy(backend, strategy, dataset, { seed, rounds: 5, ...method === undefined ? {} : { method } })).clients))).flat()
    const mean = (valueOf: (site: typeof sites[number]) => number): number => sites.reduce((sum, site) => sum + valueOf(site), 0) / sites.length
    const recall = (label: number): number => mean(({ tasks: [task] }) => task?.scores.federated?.classes?.[label]?.recall ?? Number.NaN)
    return { accuracy: mean(({ tasks: [task] }) => task?.scores.federated?.value ?? Number.NaN), rare: (recall(2) + recall(3)) / 2, common: (recall(0) + recall(1)) / 2 }
  }
  const [fedavg, all] = [await of('fedavg'), await of('mupfl')]
  t.log(`rare classes: mupfl ${all.rare.toFixed(3)}, fedavg ${fedavg.rare.toFixed(3)}; others: ${all.common.toFixed(3)}, ${fedavg.common.toFixed(3)}`)
  t.true(all.rare > fedavg.rare + 0.05)
  t.true(all.common > fedavg.common - 0.02)
  for (const off of [{ keep: 1, keepLate: 1 }, { cut: 2 }, { tuneSteps: 0 }]) {
    const { accuracy } = await of('mupfl', off)
    t.log(`${JSON.stringify(off)}: ${accuracy.toFixed(3)}, all modules ${all.accuracy.toFixed(3)}`)
    t.true(accuracy < all.accuracy + 0.02, JSON.stringify(off))
  }
})

test('options have defaults, and what cannot be is refused', t => {
  t.deepEqual(mupfl.options({}), { keep: 0.5, keepLate: 0.8, beta: 0.9, cut: 0.3, compare: 'changes', tuneSteps: 50, rareBelow: 5 })
  t.deepEqual(mupfl.options({ ...mupfl.options({ cut: 1 }) }), mupfl.options({ cut: 1 }))
  for (const wrong of [{ keep: 0 }, { keepLate: 1.1 }, { beta: 1 }, { cut: 3 }, { compare: 'maps' }, { tuneSteps: 0.5 }, { rareBelow: 1 }, { tail: 3 }]) {
    t.throws(() => mupfl.options(wrong), { instanceOf: InvalidParametersError }, JSON.stringify(wrong))
  }
})
