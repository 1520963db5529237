/** Split steps against reference numbers: see ../vectors/split/PROVENANCE.md. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { GraphBuilder } from '../../src/graph/graph.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { createRule, minDirectionCosine } from '../../src/projection/index.ts'
import { Random } from '../../src/random.ts'
import { backendIfAny } from '../helpers/rungs.ts'
import { close, fromNested } from '../helpers/tensors.ts'
import type { Backend, Model } from '../../src/backend/backend.ts'
import type { Nested } from '../helpers/tensors.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const TOLERANCE = 1e-5

type FedboneClient = { readonly loss: number } & Readonly<Record<
  'embed' | 'head' | 'x' | 'y' | 'up_embedding' | 'down_features' | 'prediction' | 'up_gradFeatures' | 'down_gradEmbedding' | 'gradHead' | 'gradEmbed' | 'gradGeneral', Nested>>
interface Fedbone extends Readonly<Record<'general' | 'aggregated' | 'generalAfter' | 'generalAfterPlainMean', Nested>> {
  readonly lrServer: number
  readonly lrClient: number
  readonly clients: readonly FedboneClient[]
  readonly cosines: ReadonlyArray<readonly number[]>
  readonly headsAfter: readonly Nested[]
  readonly embedsAfter: readonly Nested[]
  readonly bytesPerStepF32: Readonly<Record<'upEmbedding' | 'downFeatures' | 'upGradFeatures' | 'downGradEmbedding', number>>
}
type MtslTask = { readonly loss: number } & Readonly<Record<'x' | 'y' | 'psi' | 'smashed' | 'prediction' | 'gradPhi' | 'gradSmashed' | 'gradPsi' | 'psiAfter', Nested>>
interface Mtsl extends Readonly<Record<'phi' | 'gradPhiSum' | 'phiAfter' | 'phiAfterMean', Nested>> {
  readonly etaServer: number
  readonly etaClients: readonly number[]
  readonly tasks: readonly MtslTask[]
  readonly wire: ReadonlyArray<{ readonly upFloats: number, readonly downFloats: number }>
}

function vectors<T> (name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/split/${name}.json`, import.meta.url), 'utf8')) as T
}
const FEDBONE = vectors<Fedbone>('fedbone-step')
const MTSL = vectors<Mtsl>('mtsl-step')

/** x W, or tanh(x W): one linear layer as a model of its own, so that forward and backward can be split anywhere. */
function layer (backend: Backend, weights: TensorData, squash: boolean, wanted: readonly string[]): Model {
  const g = new GraphBuilder()
  const [from, to] = weights.shape as [number, number]
  const product = g.matMul(g.input('in', ['B', from]), g.parameter('weight', [from, to], { value: 0 }))
  g.output('out', squash ? g.tanh(product) : product)
  const model = backend.load(differentiate(g.build(), wanted))
  model.setParameters(weights.data)
  return model
}

/** 0.5 / B of the summed squares, and its gradient. */
function squares (prediction: TensorData, y: TensorData): { value: number, grad: TensorData } {
  const rows = y.shape[0] as number
  const error = prediction.data.map((value, i) => value - (y.data[i] as number))
  return { value: error.reduce((sum, e) => sum + e * e, 0) / (2 * rows), grad: { shape: prediction.shape, data: error.map(e => e / rows) } }
}

function moved (from: TensorData, gradient: ArrayLike<number>, rate: number): Float32Array {
  return from.data.map((value, i) => value - rate * (gradient[i] as number))
}

for (const rung of ['cpu', 'wasm', 'tensorflow'] as const) {
  test.serial(`${rung}: a FedBone step gives every reference tensor`, async t => {
    const backend = await backendIfAny(t, rung)
    if (backend === undefined) return
    const same = (what: string, got: ArrayLike<number>, want: Nested): void => close(t, what, got, fromNested(want).data, TOLERANCE)
    const before = backend.liveTensors()
    const general = fromNested(FEDBONE.general)
    const trunk = layer(backend, general, true, ['in'])
    const rows: Float32Array[] = []
    for (const [k, client] of FEDBONE.clients.entries()) {
      const [embed, head] = [fromNested(client.embed), fromNested(client.head)]
      const embedder = layer(backend, embed, false, [])
      const readout = layer(backend, head, false, ['in'])
      const up = await embedder.forward({ in: fromNested(client.x) })
      const activations = up.outputs.out as TensorData
      same(`client ${k} up_embedding`, activations.data, client.up_embedding)
      const down = await trunk.forward({ in: activations })
      const features = down.outputs.out as TensorData
      same(`client ${k} down_features`, features.data, client.down_features)
      const end = await readout.forward({ in: features })
      const prediction = end.outputs.out as TensorData
      same(`client ${k} prediction`, prediction.data, client.prediction)
      const { value, grad } = squares(prediction, fromNested(client.y))
      close(t, `client ${k} loss`, [value], [client.loss], TOLERANCE)
      const atHead = await readout.backward(end.kept, { out: grad })
      const featureGrad = atHead.inputs.in as TensorData
      same(`client ${k} up_gradFeatures`, featureGrad.data, client.up_gradFeatures)
      same(`client ${k} gradHead`, atHead.parameters, client.gradHead)
      const atTrunk = await trunk.backward(down.kept, { out: featureGrad })
      const activationGrad = atTrunk.inputs.in as TensorData
      same(`client ${k} down_gradEmbedding`, activationGrad.data, client.down_gradEmbedding)
      same(`client ${k} gradGeneral`, atTrunk.parameters, client.gradGeneral)
      rows.push(atTrunk.parameters)
      const atEmbedder = await embedder.backward(up.kept, { out: activationGrad })
      same(`client ${k} gradEmbed`, atEmbedder.parameters, client.gradEmbed)
      t.deepEqual(atEmbedder.inputs, {}, 'no gradient of raw rows is computed')
      same(`client ${k} head after`, moved(head, atHead.parameters, FEDBONE.lrClient), FEDBONE.headsAfter[k] as Nested)
      same(`client ${k} embedding after`, moved(embed, atEmbedder.parameters, FEDBONE.lrClient), FEDBONE.embedsAfter[k] as Nested)
      const bytes = FEDBONE.bytesPerStepF32
      t.deepEqual([activations, features, featureGrad, activationGrad].map(({ data }) => data.byteLength),
        [bytes.upEmbedding, bytes.downFeatures, bytes.upGradFeatures, bytes.downGradEmbedding])
      embedder.dispose()
      readout.dispose()
    }
    const ids = rows.map((_, k) => `client-${k}`)
    const conflicts = FEDBONE.cosines.flatMap((row, i) => row.filter((cosine, j) => j > i && cosine < 0)).length
    t.true(conflicts > 0, 'the vector holds a conflict')
    for (const attention of ['none', 'softmax-cos', 'softmax-dot'] as const) { // the first round has no history to attend to
      const { update, stats } = createRule('gp', { attention, order: 'ids', strict: false }).aggregate(rows, { ids, random: new Random(1) })
      same(`aggregated, attention ${attention}`, update, FEDBONE.aggregated)
      same(`general after, attention ${attention}`, moved(general, update, FEDBONE.lrServer), FEDBONE.generalAfter)
      t.is(stats.conflictPairs, conflicts)
      close(t, 'smallest cosine', [stats.minCosine], [Math.min(...FEDBONE.cosines.flat())], TOLERANCE)
    }
    const mean = createRule('mean').aggregate(rows, { ids, random: new Random(1) })
    same('general after the plain mean', moved(general, mean.update, FEDBONE.lrServer), FEDBONE.generalAfterPlainMean)
    const strict = createRule('gp', { order: 'ids' }).aggregate(rows, { ids, random: new Random(1) })
    t.true(minDirectionCosine(strict.update, rows) >= -1e-6)
    trunk.dispose()
    t.is(backend.liveTensors(), before)
  })

  test.serial(`${rung}: an MTSL step gives every reference tensor`, async t => {
    const backend = await backendIfAny(t, rung)
    if (backend === undefined) return
    const same = (what: string, got: ArrayLike<number>, want: Nested): void => close(t, what, got, fromNested(want).data, TOLERANCE)
    const phi = fromNested(MTSL.phi)
    const top = layer(backend, phi, false, ['in'])
    const rows: Float32Array[] = []
    for (const [m, task] of MTSL.tasks.entries()) {
      const psi = fromNested(task.psi)
      const bottom = layer(backend, psi, true, [])
      const up = await bottom.forward({ in: fromNested(task.x) })
      const smashed = up.outputs.out as TensorData
      same(`task ${m} smashed`, smashed.data, task.smashed)
      const end = await top.forward({ in: smashed })
      const prediction = end.outputs.out as TensorData
      same(`task ${m} prediction`, prediction.data, task.prediction)
      const { value, grad } = squares(prediction, fromNested(task.y))
      close(t, `task ${m} loss`, [value], [task.loss], TOLERANCE)
      const atTop = await top.backward(end.kept, { out: grad })
      same(`task ${m} gradPhi`, atTop.parameters, task.gradPhi)
      const smashedGrad = atTop.inputs.in as TensorData
      same(`task ${m} gradSmashed`, smashedGrad.data, task.gradSmashed)
      rows.push(atTop.parameters)
      const atBottom = await bottom.backward(up.kept, { out: smashedGrad })
      same(`task ${m} gradPsi`, atBottom.parameters, task.gradPsi)
      // Every entity has its own learning rate; the top is updated only after all tasks have used it.
      same(`task ${m} psi after`, moved(psi, atBottom.parameters, MTSL.etaClients[m] as number), task.psiAfter)
      t.is(smashed.data.length, MTSL.wire[m]?.upFloats as number)
      t.is(smashedGrad.data.length, MTSL.wire[m]?.downFloats as number)
      bottom.dispose()
    }
    const { update } = createRule('mean').aggregate(rows, { ids: ['0', '1'], random: new Random(1) })
    const sum = update.map(value => value * rows.length)
    same('gradPhi, summed', sum, MTSL.gradPhiSum)
    same('phi after the sum', moved(phi, sum, MTSL.etaServer), MTSL.phiAfter)
    same('phi after the mean', moved(phi, update, MTSL.etaServer), MTSL.phiAfterMean)
    top.dispose()
  })
}
