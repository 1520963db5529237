/**
 * Compiled graphs against eager operations on the TensorFlow rung: forward + backward through a trunk, parameters set anew
 * before every pass as in training. The two run in alternation, and the ratio is taken pair by pair, so that whatever
 * else the machine does hits both. Prints one JSON row per shape, then a Markdown table.
 *
 *     node scripts/bench/executor.ts --pairs 20 --shapes 48x16x2x24,128x16x6x32
 */
import { parseArgs } from 'node:util'
import { buildTrunk } from '../../src/models/trunk.ts'
import { createBackend } from '../../src/backend/index.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { initialise } from '../../src/models/parameters.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { Random } from '../../src/random.ts'
import { median } from '../../testnet/bench/report.ts'
import type { Model } from '../../src/backend/backend.ts'
import type { Rung } from '../../src/backend/ladder.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const EXECUTORS = ['eager', 'compiled'] as const

interface Timing { readonly firstMs: number, readonly minMs: number, readonly medianMs: number }
interface Row {
  readonly width: number
  readonly tokens: number
  readonly layers: number
  readonly batch: number
  readonly eager: Timing
  readonly compiled: Timing
  /** Median over the pairs. */
  readonly speedup: number
  /** Largest difference of a parameter gradient, relative to the largest gradient. */
  readonly difference: number
}

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '20' },
    /** width x tokens x layers x batch */
    shapes: { type: 'string', default: '48x16x2x24,128x16x6x32,192x64x6x32' }
  }
})
const rung = await loadRung('tensorflow')
const rows: Row[] = []
for (const shape of values.shapes.split(',')) {
  const row = await measure(rung, shape, Number(values.pairs))
  rows.push(row)
  process.stdout.write(`${JSON.stringify(row)}\n`)
}
const ms = (value: number): string => value.toFixed(1)
process.stdout.write(`${[
  '| width x tokens x layers, batch | eager ms, median (min) | compiled ms, median (min) | speed-up | first pass, ms | difference |',
  `|${' --- |'.repeat(6)}`,
  ...rows.map(({ width, tokens, layers, batch, eager, compiled, speedup, difference }) =>
    `| ${width} x ${tokens} x ${layers}, ${batch} | ${ms(eager.medianMs)} (${ms(eager.minMs)}) | ${ms(compiled.medianMs)} (${ms(compiled.minMs)}) | ${speedup.toFixed(2)} | ${ms(eager.firstMs)} / ${ms(compiled.firstMs)} | ${difference.toExponential(0)} |`)
].join('\n')}\n`)

async function measure (rung: Rung, shape: string, pairs: number): Promise<Row> {
  const [width, tokens, layers, batch] = shape.split('x').map(Number) as [number, number, number, number]
  const graph = buildTrunk({ width, layers, heads: 4, hidden: 2 * width, attention: true })
  const parameters = initialise(graph, 1, 'trunk')
  const random = new Random(2)
  const noise = (): TensorData => ({ shape: [batch, tokens, width], data: Float32Array.from({ length: batch * tokens * width }, () => random.normal()) })
  const [activations, features] = [noise(), noise()]
  const pass = async (model: Model): Promise<{ ms: number, gradient: Float32Array }> => {
    const startedAt = performance.now()
    model.setParameters(parameters)
    const { kept } = await model.forward({ activations })
    const { parameters: gradient } = await model.backward(kept, { features })
    return { ms: performance.now() - startedAt, gradient }
  }
  const models: Model[] = []
  const firsts: Array<{ ms: number, gradient: Float32Array }> = []
  for (const executor of EXECUTORS) {
    const startedAt = performance.now()
    const model = createBackend(rung, { executor }).load(differentiate(graph, ['activations']))
    const loadMs = performance.now() - startedAt
    const { ms, gradient } = await pass(model)
    models.push(model)
    firsts.push({ ms: loadMs + ms, gradient })
  }
  const times = EXECUTORS.map((): number[] => [])
  for (let pair = 0; pair < pairs; pair++) {
    const order = pair % 2 === 0 ? [0, 1] : [1, 0]
    for (const i of order) times[i]?.push((await pass(models[i] as Model)).ms)
  }
  for (const model of models) model.dispose()
  const [eagerMs, compiledMs] = times as [number[], number[]]
  const timing = (i: number): Timing => ({ firstMs: firsts[i]?.ms as number, minMs: Math.min(...times[i] as number[]), medianMs: median(times[i] as number[]) })
  const [want, got] = firsts.map(first => first.gradient) as [Float32Array, Float32Array]
  const largest = want.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  const difference = want.reduce((max, value, i) => Math.max(max, Math.abs(value - (got[i] as number))), 0) / largest
  return { width, tokens, layers, batch, eager: timing(0), compiled: timing(1), speedup: median(eagerMs.map((value, i) => value / (compiledMs[i] as number))), difference }
}
