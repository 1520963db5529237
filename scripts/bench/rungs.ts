/**
 * Every rung that loads here on the same backbones: a training pass (new weights, forward, backward to all weights and the
 * activations) as hosts run it. Each rung runs in a process of its own, since a process has one; on a machine with a GPU
 * one command gives the whole table. Prints one JSON row per rung and shape, then a Markdown table.
 *
 *     node scripts/bench/rungs.ts --passes 20 --shapes 48x16x2x24,128x16x6x32,192x64x6x32,512x64x8x64
 *
 * Memory: what the device's buffers take where a graphics device computes, else the growth of the process's peak.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildTrunk } from '../../src/models/trunk.ts'
import { createBackend } from '../../src/backend/index.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { elements } from '../../src/tensor/tensor.ts'
import { initialise } from '../../src/models/parameters.ts'
import { RUNGS, isRungName, loadRung } from '../../src/backend/ladder.ts'
import { median } from '../../testnet/bench/report.ts'
import { Random } from '../../src/random.ts'
import type { Rung } from '../../src/backend/ladder.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

interface Row {
  readonly rung: string
  readonly device: string
  /** width x tokens x layers x batch */
  readonly shape: string
  /** Of the first pass, which compiles and allocates. */
  readonly firstMs: number
  readonly medianMs: number
  readonly minMs: number
  readonly rowsPerSecond: number
  readonly memoryMiB: number
}

/** A rung that needs longer than this for one shape is not measured on larger ones, ms. */
const SHAPE_BUDGET_MS = 60_000
const MIB = 2 ** 20

const { values } = parseArgs({
  options: {
    passes: { type: 'string', default: '20' },
    shapes: { type: 'string', default: '48x16x2x24,128x16x6x32,192x64x6x32,512x64x8x64' },
    rungs: { type: 'string', default: RUNGS.join() },
    /** Set by this script when it starts itself. */
    only: { type: 'string' }
  }
})

if (values.only === undefined) report()
else await measureRung(values.only)

function report (): void {
  const rows: Row[] = []
  for (const name of values.rungs.split(',')) {
    const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--only', name, '--passes', values.passes, '--shapes', values.shapes], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
    for (const line of child.stdout.split('\n').filter(line => line.startsWith('{'))) {
      process.stdout.write(`${line}\n`)
      rows.push(JSON.parse(line) as Row)
    }
    if (child.status !== 0) process.stderr.write(`${name}: ended with ${child.signal ?? `status ${child.status}`}\n`)
  }
  process.stdout.write(`${[
    '| width x tokens x layers, batch | rung | forward + backward ms, median (min) | rows/s | first pass, ms | memory, MiB |',
    `|${' --- |'.repeat(6)}`,
    ...rows.toSorted((a, b) => order(a) - order(b)).map(({ rung, device, shape, firstMs, medianMs, minMs, rowsPerSecond, memoryMiB }) => {
      const [width, tokens, layers, batch] = shape.split('x')
      return `| ${width} x ${tokens} x ${layers}, ${batch} | ${rung}${device === '' ? '' : ` (${device})`} | ${medianMs.toFixed(1)} (${minMs.toFixed(1)}) | ${rowsPerSecond.toFixed(0)} | ${firstMs.toFixed(0)} | ${memoryMiB.toFixed(0)} |`
    })
  ].join('\n')}\n`)
}

/** By shape, then from the top of the ladder. */
function order ({ shape, rung }: Row): number {
  return values.shapes.split(',').indexOf(shape) * RUNGS.length + RUNGS.indexOf(rung as Rung['name'])
}

async function measureRung (name: string): Promise<void> {
  if (!isRungName(name)) throw new Error(`${name} is no rung; known: ${RUNGS.join(', ')}`)
  const rung = await loadRung(name).catch((error: Error) => error)
  if (rung instanceof Error) {
    process.stderr.write(`${rung.message}\n`)
    return
  }
  for (const shape of values.shapes.split(',')) {
    const startedAt = performance.now()
    process.stdout.write(`${JSON.stringify(await measure(rung, shape))}\n`)
    if (performance.now() - startedAt > SHAPE_BUDGET_MS) break
  }
}

async function measure (rung: Rung, shape: string): Promise<Row> {
  const [width, tokens, layers, batch] = shape.split('x').map(Number) as [number, number, number, number]
  const graph = buildTrunk({ width, layers, heads: 4, hidden: 2 * width, attention: true })
  const parameters = initialise(graph, 1, 'trunk')
  const random = new Random(2)
  const noise = (): TensorData => ({ shape: [batch, tokens, width], data: Float32Array.from({ length: elements([batch, tokens, width]) }, () => random.normal()) })
  const [activations, features] = [noise(), noise()]
  const before = process.resourceUsage().maxRSS * 1024
  const model = createBackend(rung).load(differentiate(graph, ['activations']))
  const pass = async (): Promise<number> => {
    const startedAt = performance.now()
    model.setParameters(parameters)
    const { kept } = await model.forward({ activations })
    await model.backward(kept, { features })
    return performance.now() - startedAt
  }
  const firstMs = await pass()
  const times: number[] = []
  const end = performance.now() + SHAPE_BUDGET_MS
  while (times.length < Number(values.passes) && (times.length < 3 || performance.now() < end)) times.push(await pass())
  const { numBytesAllocatedInGPU } = rung.tf.memory() as { readonly numBytesAllocatedInGPU?: number }
  model.dispose()
  const medianMs = median(times)
  return {
    rung: rung.name,
    device: rung.device === undefined ? '' : `${rung.device.name}${rung.software ? ', software' : ''}`,
    shape,
    firstMs,
    medianMs,
    minMs: Math.min(...times),
    rowsPerSecond: batch / (medianMs / 1000),
    memoryMiB: (numBytesAllocatedInGPU ?? process.resourceUsage().maxRSS * 1024 - before) / MIB
  }
}
