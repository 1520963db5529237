import { fc, testProp } from '@fast-check/ava'
import test from 'ava'
import { DataError, InvalidParametersError, ShapeMismatchError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { METRICS, createTask } from '../../src/tasks/index.ts'
import { elements, tensor } from '../../src/tensor/tensor.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const base = { targets: 1, positions: [1] }
const specs: ReadonlyArray<{ id: string, spec: TaskSpec }> = [
  { id: 'classes', spec: { id: 'a', kind: 'classes', channels: 4, ...base, metric: 'accuracy' } },
  { id: 'classes, smoothed', spec: { id: 'a', kind: 'classes', channels: 3, ...base, smoothing: 0.1, metric: 'auroc' } },
  { id: 'regression', spec: { id: 'a', kind: 'regression', channels: 2, targets: 2, positions: [1], scale: { mean: [3, -1], deviation: [2, 0.5] }, metric: 'mae' } },
  { id: 'direction with a valid flag', spec: { id: 'a', kind: 'direction', channels: 2, targets: 3, positions: [1], metric: 'angle' } },
  { id: 'token-classes', spec: { id: 'a', kind: 'token-classes', channels: 3, targets: 1, positions: [4], smoothing: 0.2, metric: 'nonO', classNames: ['O', 'B-x', 'I-x'] } },
  { id: 'dense-classes', spec: { id: 'a', kind: 'dense-classes', channels: 3, targets: 1, positions: [2, 3], metric: 'meanIoU' } },
  { id: 'dense-regression', spec: { id: 'a', kind: 'dense-regression', channels: 1, targets: 1, positions: [2, 3], metric: 'mae' } },
  { id: 'dense-direction', spec: { id: 'a', kind: 'dense-direction', channels: 3, targets: 3, positions: [2, 2], metric: 'angle' } },
  { id: 'dense-binary', spec: { id: 'a', kind: 'dense-binary', channels: 1, targets: 1, positions: [2, 3], positiveWeight: 3, metric: 'f1' } }
]

/** Some labels are missing in every kind: a class of -1, a NaN number, an invalid angle, a zero vector. */
function targets (spec: TaskSpec, rows: number, random: Random): TensorData {
  const positions = elements(spec.positions)
  const data = new Float32Array(rows * positions * spec.targets)
  for (let p = 0; p < rows * positions; p++) {
    const missing = p % 5 === 3
    const angle = 2 * Math.PI * random.next()
    for (let c = 0; c < spec.targets; c++) {
      const i = p * spec.targets + c
      if (spec.kind === 'direction') data[i] = [Math.cos(angle), Math.sin(angle), missing ? 0 : 1][c] as number
      else if (spec.kind === 'dense-direction') data[i] = missing ? 0 : random.normal()
      else if (spec.kind === 'dense-binary') data[i] = missing ? -1 : random.int(2)
      else if (spec.kind.endsWith('regression')) data[i] = missing ? NaN : 3 * random.normal()
      else data[i] = missing ? (p % 2 === 0 ? -1 : NaN) : random.int(spec.channels)
    }
  }
  return tensor([rows, positions, spec.targets], data)
}

function prediction (spec: TaskSpec, rows: number, random: Random): TensorData {
  const shape = [rows, elements(spec.positions), spec.channels]
  // a vector near zero turns with the smallest step, so directions keep away from it
  const away = spec.kind === 'dense-direction' ? 2 : 0
  return tensor(shape, Float32Array.from({ length: elements(shape) }, () => {
    const value = 1.5 * random.normal()
    return value + away * Math.sign(value)
  }))
}

/** A power of two, so that the step is exact in float32; the curvature error is about step^2 = 2e-4. */
const STEP = 2 ** -6

for (const { id, spec } of specs) {
  testProp(`${id}: the gradient agrees with central differences`, [fc.integer({ min: 0, max: 2 ** 31 })], (t, seed) => {
    const random = new Random(seed)
    const rows = 6
    const task = createTask(spec)
    const x = prediction(spec, rows, random)
    const y = targets(spec, rows, random)
    const { grad } = task.loss(x, y)
    t.deepEqual([...grad.shape], [...x.shape])
    for (let i = 0; i < x.data.length; i++) {
      const at = x.data[i] as number
      const value = (v: number): number => {
        const data = x.data.slice()
        data[i] = v
        return task.loss(tensor(x.shape, data), y).value
      }
      const [down, up] = [Math.fround(at - STEP), Math.fround(at + STEP)]
      const slope = (value(up) - value(down)) / (up - down)
      const bend = (value(up) - 2 * value(at) + value(down)) / STEP
      // an absolute value has no slope at its kink, and no finite difference has one across it
      const kink = spec.kind === 'dense-regression' && Math.abs(bend) > 1e-4
      if (kink) continue
      t.true(Math.abs(slope - (grad.data[i] as number)) < 2e-3, `element ${i}: ${slope} against ${grad.data[i]}`)
    }
  }, { numRuns: 15 })

  test(`${id}: a step against the gradient lowers the loss, and unlabelled positions get none`, (t) => {
    const random = new Random(7)
    const task = createTask(spec)
    const x = prediction(spec, 10, random)
    const y = targets(spec, 10, random)
    const { value, grad } = task.loss(x, y)
    t.true(value > 0)
    t.true(task.loss(tensor(x.shape, x.data.map((v, i) => v - 0.05 * (grad.data[i] as number))), y).value < value)
    const blank = y.data.map(() => spec.kind.endsWith('direction') ? 0 : NaN)
    const empty = task.loss(x, tensor(y.shape, blank))
    t.is(empty.value, 0)
    t.true(empty.grad.data.every((g) => g === 0))
    t.true(task.rowLoss(task.link(x), tensor(y.shape, blank)).every(Number.isNaN))
    const none = task.score(task.link(x), tensor(y.shape, blank))
    t.is(none.support, 0)
    t.is(none.value, NaN)
  })

  test(`${id}: scores carry every metric of the kind and the loss is the mean of the row losses`, (t) => {
    const random = new Random(8)
    const task = createTask(spec)
    const linked = task.link(prediction(spec, 30, random))
    const y = targets(spec, 30, random)
    const { all, metric, value, higherIsBetter, support } = task.score(linked, y)
    t.deepEqual(Object.keys(all).sort(), Object.keys(METRICS[spec.kind]).sort())
    t.is(value, all[metric] as number)
    t.is(higherIsBetter, METRICS[spec.kind][spec.metric] as boolean)
    t.true(support > 0)
    const known = [...task.rowLoss(linked, y)].filter((v) => !Number.isNaN(v))
    t.true(Math.abs(known.reduce((a, b) => a + b, 0) / known.length - (all.loss as number)) < 1e-12)
  })

  test(`${id}: refuses a prediction or targets of another size`, (t) => {
    const task = createTask(spec)
    const x = prediction(spec, 3, new Random(1))
    const y = targets(spec, 3, new Random(1))
    t.throws(() => task.loss(x, targets(spec, 2, new Random(1))), { instanceOf: ShapeMismatchError })
    t.throws(() => task.loss(tensor([x.data.length - 1], x.data.slice(1)), y), { instanceOf: ShapeMismatchError })
    t.throws(() => task.link(tensor([x.data.length], x.data)), { instanceOf: ShapeMismatchError })
  })
}

const near = (a: number | undefined, b: number, tolerance = 1e-6): boolean => a !== undefined && Math.abs(a - b) < tolerance

test('classes: loss, link and metrics of a case worked by hand', (t) => {
  const task = createTask({ id: 'x', kind: 'classes', channels: 2, ...base, metric: 'accuracy', classNames: ['no', 'yes'] })
  // log-odds ln 3, 0, -ln 3 for the second class: probabilities .75, .5, .25
  const x = tensor([3, 1, 2], new Float32Array([0, Math.log(3), 0, 0, Math.log(3), 0]))
  const y = tensor([3, 1, 1], new Float32Array([1, 1, 1]))
  t.true(near(task.loss(x, y).value, -(Math.log(0.75) + Math.log(0.5) + Math.log(0.25)) / 3))
  const linked = task.link(x)
  t.true(near(linked.data[1], 0.75) && near(linked.data[5], 0.25))
  const { all, classes } = task.score(linked, y)
  t.true(near(all.accuracy, 1 / 3)) // a tie goes to the first class
  t.is(all.auroc, NaN) // one class only
  t.deepEqual(classes?.map(({ name, support }) => [name, support]), [['no', 0], ['yes', 3]])
  t.true(near(classes?.[1]?.recall, 1 / 3) && near(classes?.[1]?.precision, 1) && near(classes?.[1]?.f1, 0.5))
})

for (const { id, p, y, want } of [
  { id: 'perfect order', p: [0.1, 0.2, 0.8, 0.9], y: [0, 0, 1, 1], want: 1 },
  { id: 'reversed order', p: [0.9, 0.8, 0.2, 0.1], y: [0, 0, 1, 1], want: 0 },
  { id: 'all tied', p: [0.5, 0.5, 0.5, 0.5], y: [0, 1, 0, 1], want: 0.5 },
  { id: 'one tie across the classes', p: [0.1, 0.4, 0.4, 0.8], y: [0, 0, 1, 1], want: 0.875 }, // pairs 1, 1, 1, .5
  { id: 'unlabelled rows do not count', p: [0.1, 0.4, 0.35, 0.8, 0.99], y: [0, 0, 1, 1, -1], want: 0.75 }
]) {
  test(`auroc: ${id}`, (t) => {
    const task = createTask({ id: 'x', kind: 'classes', channels: 2, ...base, metric: 'auroc' })
    const linked = tensor([p.length, 1, 2], Float32Array.from(p.flatMap((v) => [1 - v, v])))
    t.true(near(task.score(linked, tensor([y.length, 1, 1], Float32Array.from(y))).value, want))
  })
}

test('auroc of more classes is the mean of one against the rest, over the classes with rows', (t) => {
  const task = createTask({ id: 'x', kind: 'classes', channels: 3, ...base, metric: 'auroc' })
  // class 2 has no row. Class 0: .6 and .3 against .4 -> one of two pairs; class 1: .5 against .3, .4 -> both
  const linked = tensor([3, 1, 3], Float32Array.from([0.6, 0.3, 0.1, 0.3, 0.4, 0.3, 0.4, 0.5, 0.1]))
  t.true(near(task.score(linked, tensor([3, 1, 1], Float32Array.from([0, 0, 1]))).value, 0.75))
})

test('macro F1 leaves out a class that is neither labelled nor predicted', (t) => {
  const task = createTask({ id: 'x', kind: 'classes', channels: 3, ...base, metric: 'macroF1' })
  const linked = tensor([2, 1, 3], Float32Array.from([0.8, 0.1, 0.1, 0.6, 0.3, 0.1]))
  t.true(near(task.score(linked, tensor([2, 1, 1], Float32Array.from([0, 1]))).value, 1 / 3)) // (2/3 + 0) / 2
})

test('regression: smooth L1 in deviations, metrics in the target\'s unit', (t) => {
  const task = createTask({ id: 'x', kind: 'regression', channels: 1, ...base, scale: { mean: [10], deviation: [2] }, metric: 'mae' })
  const x = tensor([2, 1, 1], Float32Array.from([0, 3]))
  const y = tensor([2, 1, 1], Float32Array.from([11, 10])) // .5 and 0 deviations
  t.true(near(task.loss(x, y).value, (0.125 + 2.5) / 2))
  const linked = task.link(x)
  t.deepEqual([...linked.data], [10, 16])
  t.deepEqual([...task.rowLoss(linked, y)], [0.5, 3])
  const { all } = task.score(linked, y)
  t.true(near(all.mae, 3.5) && near(all.rmse, Math.sqrt(18.5)))
})

test('direction: an invalid row weighs nothing and a right angle is 90 degrees', (t) => {
  const task = createTask({ id: 'x', kind: 'direction', channels: 2, targets: 3, positions: [1], metric: 'angle' })
  const y = tensor([2, 1, 3], Float32Array.from([0, 1, 1, 1, 0, 0]))
  const x = tensor([2, 1, 2], Float32Array.from([5, 0, -1, 0]))
  const linked = task.link(x)
  t.deepEqual([...linked.data], [1, 0, -1, 0])
  const { value, support } = task.score(linked, y)
  t.true(near(value, 90))
  t.is(support, 1)
})

test('dense-direction: the angle between tilted normals, whatever their length', (t) => {
  const task = createTask({ id: 'x', kind: 'dense-direction', channels: 3, targets: 3, positions: [1, 2], metric: 'angle' })
  const linked = tensor([1, 2, 3], Float32Array.from([0, 0, 7, 0.1, 0, 0.1]))
  const y = tensor([1, 2, 3], Float32Array.from([0, 0, 1, 0, 0, 1]))
  t.true(near(task.score(linked, y).value, 22.5, 1e-4))
  t.true(near(task.rowLoss(linked, y)[0], (1 - Math.SQRT1_2) / 2, 1e-5))
})

test('dense-classes: mean IoU over the classes that occur, pixel accuracy over labelled pixels', (t) => {
  const task = createTask({ id: 'x', kind: 'dense-classes', channels: 4, targets: 1, positions: [1, 4], metric: 'meanIoU' })
  const hot = [0, 0, 1, 1].flatMap((c) => [0, 1, 2, 3].map((k) => k === c ? 0.7 : 0.1))
  const linked = tensor([1, 4, 4], Float32Array.from(hot))
  const { all } = task.score(linked, tensor([1, 4, 1], Float32Array.from([0, 1, 1, -1])))
  t.true(near(all.meanIoU, 0.5)) // class 0: 1 of 2, class 1: 1 of 2
  t.true(near(all.pixelAccuracy, 2 / 3))
})

test('dense-binary: F1, precision and recall at one half; the positive weight multiplies the loss', (t) => {
  const task = createTask({ id: 'x', kind: 'dense-binary', channels: 1, targets: 1, positions: [1, 4], positiveWeight: 4, metric: 'f1' })
  const x = tensor([1, 4, 1], Float32Array.from([2, 1, -1, -2]))
  const y = tensor([1, 4, 1], Float32Array.from([1, 0, 1, 0]))
  const soft = (z: number): number => Math.log1p(Math.exp(-z))
  const want = (4 * soft(2) + soft(-1) + 4 * soft(-1) + soft(2)) / 4
  t.true(near(task.loss(x, y).value, want))
  const linked = task.link(x)
  t.true(near(task.rowLoss(linked, y)[0], want, 1e-5))
  const { all } = task.score(linked, y)
  t.true(near(all.f1, 0.5) && near(all.precision, 0.5) && near(all.recall, 0.5))
})

test('token-classes: nonO leaves out the tokens outside every slot', (t) => {
  const task = createTask({ id: 'x', kind: 'token-classes', channels: 2, targets: 1, positions: [4], metric: 'nonO', classNames: ['O', 'B-city'] })
  const linked = tensor([1, 4, 2], Float32Array.from([0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.5, 0.5]))
  const { all, support } = task.score(linked, tensor([1, 4, 1], Float32Array.from([0, 1, 1, -1])))
  t.is(support, 3)
  t.true(near(all.accuracy, 2 / 3) && near(all.nonO, 0.5))
})

test('a label outside the classes is refused, not read from the next row', (t) => {
  const task = createTask({ id: 'x', kind: 'classes', channels: 2, ...base, metric: 'accuracy' })
  const x = tensor([1, 1, 2], new Float32Array(2))
  const y = tensor([1, 1, 1], Float32Array.from([2]))
  t.throws(() => task.loss(x, y), { instanceOf: DataError })
  t.throws(() => task.rowLoss(x, y), { instanceOf: DataError })
  t.throws(() => task.score(x, y), { instanceOf: DataError })
})

const good: TaskSpec = { id: 'ok', kind: 'classes', channels: 2, targets: 1, positions: [1], metric: 'accuracy' }
for (const { id, change } of [
  { id: 'an unknown kind', change: { kind: 'ranking' } },
  { id: 'a kind named like an object\'s own method', change: { kind: 'toString' } },
  { id: 'an id that is no topic name', change: { id: 'a/b' } },
  { id: 'one class', change: { channels: 1 } },
  { id: 'half a channel', change: { channels: 2.5 } },
  { id: 'two targets for a label', change: { targets: 2 } },
  { id: 'pixels for a row task', change: { positions: [4, 4] } },
  { id: 'tokens for a row task', change: { positions: [4] } },
  { id: 'no pixels for a dense task', change: { kind: 'dense-classes', metric: 'meanIoU' } },
  { id: 'a head larger than the limit', change: { kind: 'dense-classes', metric: 'meanIoU', positions: [100_000, 100_000] } },
  { id: 'class names that do not match', change: { classNames: ['one'] } },
  { id: 'a scale for classes', change: { scale: { mean: [0], deviation: [1] } } },
  { id: 'a deviation of 0', change: { kind: 'regression', channels: 1, metric: 'mae', scale: { mean: [0], deviation: [0] } } },
  { id: 'a negative weight', change: { weight: -1 } },
  { id: 'a smoothing of 1', change: { smoothing: 1 } },
  { id: 'a positive weight for classes', change: { positiveWeight: 2 } },
  { id: 'a metric of another kind', change: { metric: 'mae' } }
]) {
  test(`createTask refuses ${id}`, (t) => {
    t.notThrows(() => createTask(good))
    t.throws(() => createTask({ ...good, ...change } as TaskSpec), { instanceOf: InvalidParametersError })
  })
}
