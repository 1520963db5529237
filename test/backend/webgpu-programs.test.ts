/** The WebGPU rung's own programs, at sizes where threads, rows and workgroups do not come out even. */
import test from 'ava'
import { createBackend } from '../../src/backend/index.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { GraphBuilder } from '../../src/graph/graph.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { elements } from '../../src/tensor/tensor.ts'
import { interpret } from '../helpers/interpreter.ts'
import { layer, noise } from '../helpers/parts.ts'
import { useSoftwareGpu } from '../helpers/software-gpu.ts'
import { close } from '../helpers/tensors.ts'
import type { Rung } from '../../src/backend/ladder.ts'
import type { Numbers } from '../helpers/interpreter.ts'
import type { Op } from '../../src/graph/graph.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'
import type { Tensor } from '@tensorflow/tfjs-core'

useSoftwareGpu()
const loaded = await loadRung('webgpu').catch((error: Error) => error)
const title = (text: string): string => loaded instanceof Error ? `${text} (skipped: ${loaded.message})` : text
const onDevice = loaded instanceof Error ? test.skip : test.serial
const rung = loaded as Rung

/** As in the compliance suite. */
const TOLERANCE = 1e-5
const FORMS = ['sigmoid', 'erf', 'tanh'] as const

/** Of the rows' shape, or of one number for each row; or the gate of the first input, without which there is no gradient. */
type Input = 'rows' | 'one' | 'gate'

const CASES: ReadonlyArray<{ op: Op, inputs: readonly Input[] }> = [
  { op: { kind: 'tanhGrad' }, inputs: ['rows', 'rows'] },
  { op: { kind: 'softmaxGrad' }, inputs: ['rows', 'rows'] },
  { op: { kind: 'inverseDeviation', epsilon: 1e-3 }, inputs: ['rows'] },
  { op: { kind: 'standardise' }, inputs: ['rows', 'one'] },
  { op: { kind: 'standardiseGrad' }, inputs: ['rows', 'one', 'rows'] },
  ...FORMS.flatMap(form => [
    { op: { kind: 'geluGate', form }, inputs: ['rows'] } as const,
    { op: { kind: 'geluGrad', form }, inputs: ['rows', 'gate', 'rows'] } as const
  ])
]

/** The last axis: one number, fewer than threads, a workgroup of them and one more or less, and many. */
const SHAPES = [[1, 1], [67, 1], [1, 5], [3, 2, 7], [2, 3, 2, 16], [5, 63], [1, 64], [2, 65], [4, 200], [3, 3001]]

for (const { op, inputs } of CASES) {
  const name = 'form' in op ? `${op.kind} by ${op.form}` : op.kind

  onDevice(title(`${name}: one program, as in 64 bits`), async t => {
    for (const shape of SHAPES) {
      const given = inputsOf(op, inputs, shape)
      const want = reference(op, given)
      const got = await run(op, given)
      t.deepEqual(got.shape, want.shape)
      close(t, shape.join(' x '), got.data, want.data, TOLERANCE)
    }
  })
}

// The two ways of sharing out threads; one workgroup takes 64 numbers, or 16 rows of four lanes.
for (const op of [{ kind: 'tanhGrad' }, { kind: 'softmaxGrad' }] as const) {
  onDevice(title(`${op.kind}: rows come out the same where there are more than 65 535 workgroups, the most along one axis`), async t => {
    const given = inputsOf(op, ['rows', 'rows'], [16, 4])
    const want = repeated(await run(op, given), 65_600)
    const got = await run(op, given.map(tensor => repeated(tensor, 65_600)))
    t.deepEqual(got.shape, want.shape)
    t.true(Buffer.from(got.data.buffer).equals(Buffer.from(want.data.buffer)))
  })
}

onDevice(title('models run the programs: a kernel for each of these operations'), async t => {
  const graph = layer(g => g.tanh(g.softmax(g.gelu(g.standardise(g.input('x', ['B', 6]), 1e-5)))))
  const model = createBackend(rung).load(differentiate(graph, ['x']))
  model.setParameters(new Float32Array(0))
  const { kernelNames } = await rung.tf.profile(async () => {
    const { kept } = await model.forward({ x: noise([3, 6], 1) })
    await model.backward(kept, { out: noise([3, 6], 2) })
  }) as unknown as { kernelNames: string[] }
  t.deepEqual(kernelNames.toSorted(), ['Multiply', 'Softmax', 'Tanh', 'fmtl geluGate sigmoid', 'fmtl geluGrad sigmoid', 'fmtl inverseDeviation',
    'fmtl softmaxGrad', 'fmtl standardise', 'fmtl standardiseGrad', 'fmtl tanhGrad'])
  model.dispose()
})

function inputsOf (op: Op, inputs: readonly Input[], shape: readonly number[]): TensorData[] {
  return inputs.map((input, i) => input === 'gate' && 'form' in op
    ? reference({ kind: 'geluGate', form: op.form }, [noise(shape, 1)])
    : noise(input === 'one' ? perRow(shape) : shape, i + 1))
}

function perRow (shape: readonly number[]): number[] { return shape.with(-1, 1) }

function reference (op: Op, given: readonly TensorData[]): TensorData {
  const g = new GraphBuilder()
  const ids = given.map(({ shape }, i) => g.input(`${i}`, shape))
  const { shape } = given[0] as TensorData
  g.output('out', g.node(op, ids, op.kind === 'inverseDeviation' ? perRow(shape) : shape))
  const { outputs: { out } } = interpret(differentiate(g.build(), []), [], Object.fromEntries(given.map((tensor, i) => [`${i}`, tensor])))
  const { data, shape: to } = out as Numbers
  return { shape: to, data: Float32Array.from(data) }
}

async function run (op: Op, given: readonly TensorData[]): Promise<TensorData> {
  const before = rung.tf.memory().numTensors
  const inputs = given.map(({ data, shape }) => rung.tf.tensor(data, [...shape], 'float32'))
  const result = rung.fused?.(op, inputs) as Tensor
  const data = await result.data() as Float32Array
  for (const tensor of [...inputs, result]) tensor.dispose()
  if (rung.tf.memory().numTensors !== before) throw new Error('tensors were left behind')
  return { shape: result.shape, data }
}

/** The rows over and over. */
function repeated ({ data, shape: [rows, columns] }: TensorData, times: number): TensorData {
  const shape = [rows as number * times, columns as number]
  const all = new Float32Array(elements(shape))
  for (let i = 0; i < times; i++) all.set(data, i * data.length)
  return { shape, data: all }
}
