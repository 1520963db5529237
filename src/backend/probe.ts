/**
 * How fast a rung is here, in two figures: the rate of one large product, and the time of one training step of a small
 * backbone, through the executor that would train it.
 */
import { createBackend } from './index.ts'
import { buildTrunk } from '../models/trunk.ts'
import { differentiate } from '../graph/gradients.ts'
import { initialise } from '../models/parameters.ts'
import { Random } from '../random.ts'
import { elements } from '../tensor/tensor.ts'
import type { Rung } from './ladder.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type * as tfjs from '@tensorflow/tfjs-core'

export interface ProbeResult {
  readonly gflops: number
  readonly trainStepMs: number
}

/** Side of the measured product. 1024 fills a vector unit's pipeline; plain JavaScript and software GPUs take seconds for it. */
const PRODUCT_SIDE = 1024
const SLOW_PRODUCT_SIDE = 256
/** The measured backbone, that of the smallest tasks: 24 rows of 16 tokens, 48 wide, two blocks. */
const TRUNK = { width: 48, layers: 2, heads: 4, hidden: 96, attention: true }
const SHAPE = [24, 16, TRUNK.width]
/** Each figure is the median over this long, and at least three runs after one to warm up. */
const BUDGET_MS = 400

export async function probe (rung: Rung): Promise<ProbeResult> {
  const side = rung.name === 'cpu' || rung.software ? SLOW_PRODUCT_SIDE : PRODUCT_SIDE
  const productMs = await measureProduct(rung.tf, side)
  return { gflops: 2 * side ** 3 / productMs / 1e6, trainStepMs: await measureStep(rung) }
}

async function measureProduct (tf: Rung['tf'], side: number): Promise<number> {
  const a = tf.randomUniform([side, side], -1, 1, 'float32', 1)
  const b = tf.randomUniform([side, side], -1, 1, 'float32', 2)
  try {
    return await median(async () => {
      // One number comes back: reading is what waits for a GPU, and it must not cost more than the product.
      const corner = tf.tidy(() => tf.slice(tf.matMul(a, b) as tfjs.Tensor2D, [0, 0], [1, 1]))
      await corner.data()
      corner.dispose()
    })
  } finally {
    tf.dispose([a, b])
  }
}

/** As in training: new weights, forward, backward to every weight and to the activations. */
async function measureStep (rung: Rung): Promise<number> {
  const graph = buildTrunk(TRUNK)
  const model = createBackend(rung).load(differentiate(graph, ['activations']))
  const parameters = initialise(graph, 1, 'trunk')
  const random = new Random(2)
  const noise = (): TensorData => ({ shape: SHAPE, data: Float32Array.from({ length: elements(SHAPE) }, () => random.normal()) })
  const [activations, features] = [noise(), noise()]
  try {
    return await median(async () => {
      model.setParameters(parameters)
      const { kept } = await model.forward({ activations })
      await model.backward(kept, { features })
    })
  } finally {
    model.dispose()
  }
}

async function median (run: () => Promise<void>): Promise<number> {
  await run()
  const times: number[] = []
  const end = performance.now() + BUDGET_MS
  while (times.length < 3 || performance.now() < end) {
    const start = performance.now()
    await run()
    times.push(performance.now() - start)
  }
  times.sort((a, b) => a - b)
  return times[times.length >> 1] ?? NaN
}
