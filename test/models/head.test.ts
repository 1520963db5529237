import test from 'ava'
import { ClientParts } from '../../src/training/client-parts.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { createHead } from '../../src/models/head.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { initialise } from '../../src/models/parameters.ts'
import { backendOn } from '../helpers/rungs.ts'
import { smallCharter } from '../helpers/federation.ts'
import { LEVEL, MASK, PICTURES, SIDE, clientData } from '../helpers/synthetic.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

const backend = await backendOn('cpu')
const embedder = createEmbedder({ kind: 'patches', patch: 4, stride: 4, padding: 0 }, PICTURES, 8)

test('a dense head answers cell by cell: the order worked out by hand for 4 x 4 pixels in 2 x 2 cells', t => {
  const small = createEmbedder({ kind: 'patches', patch: 2, stride: 2, padding: 0 }, { modality: 'image', shape: [4, 4, 1] }, 8)
  const { order, positions } = createHead({ ...MASK, positions: [4, 4] }, small, 8, 0)
  t.is(positions, 16)
  t.deepEqual([...order ?? []], [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15])
})

test('the order of a dense head is a permutation that its inverse undoes, also where cells are not square', t => {
  const flat = createEmbedder({ kind: 'patches', patch: 4, stride: 4, padding: 0 }, { modality: 'image', shape: [8, 16, 1] }, 8)
  for (const positions of [[8, 16], [4, 16], [2, 4], [6, 8]]) {
    const order = createHead({ ...MASK, positions }, flat, 8, 0).order as Int32Array
    const picture = Float32Array.from(order, (_, i) => i)
    const cells = order.map(from => picture[from] as number)
    const back = new Float32Array(order.length)
    order.forEach((from, to) => { back[from] = cells[to] as number })
    t.deepEqual(back, picture, positions.join())
  }
})

test.serial('targets are put in the head\'s order, and a perfect answer in that order costs nothing', t => {
  const charter = smallCharter([MASK])
  const data = clientData({ id: 'ada', tasks: [MASK] })
  const parts = new ClientParts(backend, data, charter.model, { seed: 1, training: charter.training, rate: 1 })
  const y = parts.targets('mask', data.train.y.mask as Float32Array, data.train.count)
  t.deepEqual(y.shape, [12, 64, 1])
  // One quadrant is bright, and a quadrant is a token: its sixteen pixels stand together.
  for (let token = 0; token < 12 * 4; token++) {
    const cell = y.data.subarray(token * 16, (token + 1) * 16)
    t.true(cell.every(value => value === cell[0]), `token ${token}`)
  }
  const certain = { shape: y.shape, data: y.data.map(value => value > 0 ? 30 : -30) }
  const { value } = (parts.tasks[0] as typeof parts.tasks[number]).loss(certain, y)
  t.true(value < 1e-6)
  parts.dispose()
})

test.serial('an adapter starts as the identity', async t => {
  for (const task of [SIDE, MASK]) {
    const features = { shape: [2, 4, 8], data: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)) }
    const [bare, adapted] = await Promise.all([0, 5].map(async adapter => {
      const { graph } = createHead(task, embedder, 8, adapter)
      const model = backend.load(differentiate(graph, []))
      model.setParameters(initialise(graph, 3, 'head'))
      const { prediction } = await model.infer({ features })
      model.dispose()
      return prediction
    }))
    t.deepEqual(adapted, bare)
  }
})

test('start values depend on the seed and the part, and on nothing else', t => {
  const { graph } = createHead(SIDE, embedder, 8, 0)
  t.deepEqual(initialise(graph, 3, 'head/side'), initialise(graph, 3, 'head/side'))
  t.notDeepEqual(initialise(graph, 3, 'head/side'), initialise(graph, 4, 'head/side'))
  t.notDeepEqual(initialise(graph, 3, 'head/side'), initialise(graph, 3, 'head/level'))
})

for (const { id, task } of [
  { id: 'a picture that the grid does not divide', task: { ...MASK, positions: [7, 8] } },
  { id: 'labels of more tokens than there are', task: { ...LEVEL, id: 'words', kind: 'token-classes', channels: 3, positions: [9] } as TaskSpec }
]) {
  test(`refuses ${id} in one line`, t => {
    const error = t.throws(() => createHead(task, embedder, 8, 0), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /^task [^\n]{20,}$/)
  })
}
