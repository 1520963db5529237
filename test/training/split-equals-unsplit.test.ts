/**
 * The split step against the same model as one graph with one backward pass: embedder, two-block trunk and the heads
 * spliced together and differentiated as a whole. After one step from zero, the first moment of AdamW is (1 - beta1) times
 * the gradient, so every gradient can be read from what the trainers save.
 */
import test from 'ava'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { GraphBuilder } from '../../src/graph/graph.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { LocalTrainer } from '../../src/training/local-trainer.ts'
import { saveUnit } from '../../src/training/saved-state.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { createHead } from '../../src/models/head.ts'
import { createTask } from '../../src/tasks/index.ts'
import { deriveSeed } from '../../src/random.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { drawBatch } from '../../src/training/batches.ts'
import { initialise } from '../../src/models/parameters.ts'
import { backwardAlone, forwardAlone, smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName, close } from '../helpers/tensors.ts'
import { LEVEL, MASK, PICTURES, SIDE, clientData } from '../helpers/synthetic.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const TOLERANCE = 1e-6
const HEAVY = { ...LEVEL, weight: 2.5 } // the weight of a task belongs to the summed loss
const TASKS = [SIDE, HEAVY, MASK]
const MODEL = { layers: 2, adapter: 3 }

/** Copies a part into a builder with its input replaced by a node that is there; symbols of token counts become numbers. */
function splice (into: GraphBuilder, graph: Graph, unit: string, input: { name: string, node: number }, tokens: number): Map<string, number> {
  const ids = new Map<number, number>()
  const sizes = (shape: ReadonlyArray<number | string>): Array<number | string> =>
    shape.map(dim => typeof dim === 'number' ? dim : dim === 'N' ? tokens : dim.replace(/\bN\b/, String(tokens)))
  for (const node of graph.nodes) {
    const { op } = node
    if (op.kind === 'input' && op.name === input.name) ids.set(node.id, input.node)
    else if (op.kind === 'parameter') ids.set(node.id, into.parameter(`${unit}:${op.name}`, node.shape as number[], { value: 0 }))
    else ids.set(node.id, into.node(op, node.inputs.map(id => ids.get(id) as number), sizes(node.shape)))
  }
  return new Map([...graph.outputs].map(([name, id]) => [name, ids.get(id) as number]))
}

/** Loss per task and gradient per unit from one forward and one backward over the whole model. */
async function unsplit (backend: Backend, charter: Charter, data: ClientData, step: number) {
  const { backbone, embedder: spec, adapter } = charter.model
  const embedder = createEmbedder(spec, PICTURES, backbone.width)
  const heads = data.tasks.map(task => createHead(task, embedder, backbone.width, adapter))
  const parts: Array<[string, Graph]> = [
    ['embed/image', embedder.graph], ['trunk', buildTrunk(backbone)],
    ...data.tasks.map((task, i): [string, Graph] => [`head/${task.id}`, (heads[i] as typeof heads[number]).graph])
  ]
  const g = new GraphBuilder()
  const pieces = g.input('pieces', ['B', embedder.tokens, embedder.pieceSize])
  const activations = splice(g, embedder.graph, 'embed/image', { name: 'pieces', node: pieces }, embedder.tokens).get('activations') as number
  const features = splice(g, buildTrunk(backbone), 'trunk', { name: 'activations', node: activations }, embedder.tokens).get('features') as number
  for (const [i, { id }] of data.tasks.entries()) {
    const graph = (heads[i] as typeof heads[number]).graph
    g.output(id, splice(g, graph, `head/${id}`, { name: 'features', node: features }, embedder.tokens).get('prediction') as number)
  }
  const whole = g.build()
  const model = backend.load(differentiate(whole, []))
  const flat = new Float32Array(whole.parameterCount)
  let at = 0
  for (const [unit, graph] of parts) {
    flat.set(initialise(graph, charter.seed, unit), at)
    at += graph.parameterCount
  }
  model.setParameters(flat)
  const { batch: size, shift } = charter.training
  const batch = drawBatch(data.train, data.input, { size, seed: deriveSeed(charter.seed, 'rows', data.id), step, shift })
  const { outputs, kept } = await model.forward({ pieces: embedder.unfold(batch.x, batch.count) })
  const losses: Record<string, number> = {}
  const seeds: Record<string, TensorData> = {}
  for (const [i, spec] of data.tasks.entries()) {
    const order = (heads[i] as typeof heads[number]).order
    const values = batch.y[spec.id] as Float32Array
    const perRow = values.length / batch.count
    const y = { shape: [batch.count, perRow, 1], data: order === undefined ? values : values.map((_, at) => values[at - at % perRow + (order[at % perRow] as number)] as number) }
    const { value, grad } = createTask(spec).loss(outputs[spec.id] as TensorData, y)
    losses[spec.id] = value
    seeds[spec.id] = { shape: grad.shape, data: grad.data.map(v => v * (spec.weight ?? 1)) }
  }
  const { parameters } = await model.backward(kept, seeds)
  model.dispose()
  const gradients: Record<string, Float32Array> = {}
  at = 0
  for (const [unit, graph] of parts) gradients[unit] = parameters.slice(at, at += graph.parameterCount)
  return { losses, gradients }
}

for (const rung of ['cpu', 'wasm'] as const) {
  for (const { id, tasks } of [
    { id: 'a pooled head', tasks: [SIDE] },
    { id: 'a dense head', tasks: [MASK] },
    { id: 'three tasks, one of them weighted', tasks: TASKS }
  ]) {
    test.serial(`${rung}: the split step equals the unsplit step, ${id}`, async t => {
      const backend = await backendOn(rung)
      const charter = smallCharter(tasks, { model: MODEL })
      const data = clientData({ id: 'ada', tasks })
      const want = await unsplit(backend, charter, data, 0)
      const client = new ClientTrainer(backend, charter, data, { control: false })
      const host = new HostTrainer(backend, charter)
      const features = await forwardAlone(host, 'ada', 0, await client.forward(0))
      const { featureGrads, losses } = await client.backward(0, features)
      const activationGrad = await backwardAlone(host, 'ada', 0, featureGrads)
      t.deepEqual(await client.finish(0, activationGrad), [], 'nothing is shared')
      host.applyStep(0, ['ada'])
      // The same start and rows as the split model; a client's own local model has others.
      const local = new LocalTrainer(backend, data, charter.model, charter.training, charter.seed)
      await local.step(0)
      const alone = byName(local.units.flatMap(unit => saveUnit(unit.name, unit)))

      for (const { task, loss } of losses) close(t, `loss of ${task}`, [loss], [want.losses[task] as number], TOLERANCE)
      t.is(losses.length, tasks.length)
      const saved = byName(client.save())
      const share = 1 - charter.training.beta1
      const gradientOf = (from: Readonly<Record<string, Float32Array>>, unit: string): Float32Array =>
        (from[`${unit}.first`] as Float32Array).map(value => value / share)
      for (const unit of ['embed/image', ...tasks.map(task => `head/${task.id}`)]) {
        close(t, `split ${unit}`, gradientOf(saved, unit), want.gradients[unit] as Float32Array, TOLERANCE)
        close(t, `local ${unit}`, gradientOf(alone, unit), want.gradients[unit] as Float32Array, TOLERANCE)
      }
      const trunk = gradientOf(byName(host.save()), 'trunk')
      t.true(trunk.some(value => Math.abs(value) > 1e-4), 'the trunk has a gradient at all')
      close(t, 'split trunk', trunk, want.gradients.trunk as Float32Array, TOLERANCE)
      close(t, 'local trunk', gradientOf(alone, 'trunk'), want.gradients.trunk as Float32Array, TOLERANCE)
      client.dispose()
      local.dispose()
      host.dispose()
    })
  }

  test.serial(`${rung}: gradients per task add up to the client's gradient`, async t => {
    const backend = await backendOn(rung)
    const data = clientData({ id: 'ada', tasks: TASKS })
    const unit = 'task'
    const charter = smallCharter(TASKS, { model: MODEL, projection: { rule: 'mean', strict: 'off', unit, balance: 'none' } })
    const want = await unsplit(backend, charter, data, 0)
    const client = new ClientTrainer(backend, charter, data, { control: false })
    const host = new HostTrainer(backend, charter)
    const { featureGrads } = await client.backward(0, await forwardAlone(host, 'ada', 0, await client.forward(0)))
    t.deepEqual(featureGrads.map(({ name }) => name), TASKS.map(task => `task/${task.id}`))
    await client.finish(0, await backwardAlone(host, 'ada', 0, featureGrads))
    t.is(host.applyStep(0, ['ada']).stats.pairs, 3)
    const share = (1 - charter.training.beta1) / TASKS.length // the rule takes the mean over tasks
    const first = byName(host.save())['trunk.first'] as Float32Array
    close(t, 'trunk', first.map(value => value / share), want.gradients.trunk as Float32Array, TOLERANCE)
    const embed = byName(client.save())['embed/image.first'] as Float32Array
    close(t, 'embedder', embed.map(value => value / (1 - charter.training.beta1)), want.gradients['embed/image'] as Float32Array, TOLERANCE)
    client.dispose()
    host.dispose()
  })
}

test.serial('LocalTrainer alone takes the same step as the client that trains it', async t => {
  const backend = await backendOn('cpu')
  const charter = smallCharter(TASKS, { model: MODEL })
  const data = clientData({ id: 'ada', tasks: TASKS })
  const local = new LocalTrainer(backend, data, charter.model, charter.training, deriveSeed(charter.seed, 'local'))
  const client = new ClientTrainer(backend, charter, data, { control: false })
  for (let step = 0; step < 3; step++) {
    await local.step(step)
    await client.localStep(step)
  }
  const saved = byName(client.save())
  for (const unit of local.units) t.deepEqual(saved[`local0/${unit.name}`], unit.parameters, unit.name)
  client.dispose()
  local.dispose()
})

test.serial('balanced gradients weigh the same: a task ten times as heavy moves the trunk no further', async t => {
  const backend = await backendOn('cpu')
  const gradientOf = async (weight: number, balance: 'norm' | 'none'): Promise<Float32Array> => {
    const tasks = [SIDE, { ...LEVEL, weight }]
    const charter = smallCharter(tasks, { projection: { rule: 'mean', strict: 'off', unit: 'task', balance } })
    const client = new ClientTrainer(backend, charter, clientData({ id: 'ada', tasks }), { control: false })
    const host = new HostTrainer(backend, charter)
    const { featureGrads } = await client.backward(0, await forwardAlone(host, 'ada', 0, await client.forward(0)))
    await client.finish(0, await backwardAlone(host, 'ada', 0, featureGrads))
    host.applyStep(0, ['ada'])
    const first = byName(host.save())['trunk.first'] as Float32Array
    client.dispose()
    host.dispose()
    return first
  }
  const direction = (row: Float32Array): Float64Array => {
    const length = Math.hypot(...row)
    return Float64Array.from(row, value => value / length)
  }
  close(t, 'direction', direction(await gradientOf(10, 'norm')), direction(await gradientOf(1, 'norm')), 1e-5)
  const [light, heavy] = [direction(await gradientOf(1, 'none')), direction(await gradientOf(10, 'none'))]
  t.true(light.some((value, i) => Math.abs(value - (heavy[i] as number)) > 1e-3), 'unbalanced, weight tells')
})
