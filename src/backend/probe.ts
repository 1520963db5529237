/**
 * How fast a rung is here, in two figures: the rate of one large product, and the time of one training step of a small
 * fixed network. The step is written out by hand in plain operations, because not every rung has every gradient kernel.
 */
import type { Rung } from './ladder.ts'
import type * as tfjs from '@tensorflow/tfjs-core'

export interface ProbeResult {
  readonly gflops: number
  readonly trainStepMs: number
}

/** Side of the measured product. 1024 fills a vector unit's pipeline; plain JavaScript would take 4 s for it. */
const PRODUCT_SIDE = 1024
const PRODUCT_SIDE_CPU = 256
/** The measured network: 64 rows, 256 inputs, 512 hidden, 32 outputs: 56 MFLOP a step, about a small task head's. */
const [ROWS, INPUTS, HIDDEN, OUTPUTS] = [64, 256, 512, 32]
/** Each figure is the median over this long, and at least three runs after one to warm up. */
const BUDGET_MS = 400

export async function probe (rung: Rung): Promise<ProbeResult> {
  const side = rung.name === 'cpu' ? PRODUCT_SIDE_CPU : PRODUCT_SIDE
  const productMs = await measureProduct(rung.tf, side)
  return { gflops: 2 * side ** 3 / productMs / 1e6, trainStepMs: await measureStep(rung.tf) }
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

async function measureStep (tf: Rung['tf']): Promise<number> {
  const x = tf.randomUniform([ROWS, INPUTS], -1, 1, 'float32', 3)
  const y = tf.randomUniform([ROWS, OUTPUTS], -1, 1, 'float32', 4)
  let [w1, w2] = [tf.randomNormal([INPUTS, HIDDEN], 0, 0.05, 'float32', 5), tf.randomNormal([HIDDEN, OUTPUTS], 0, 0.05, 'float32', 6)]
  try {
    return await median(async () => {
      const [next1, next2] = tf.tidy(() => step(tf, x, y, w1, w2))
      tf.dispose([w1, w2]);
      [w1, w2] = [next1, next2]
      await w1.data()
    })
  } finally {
    tf.dispose([x, y, w1, w2])
  }
}

/** One step of squared error through a hidden layer of rectifiers. */
function step (tf: Rung['tf'], x: tfjs.Tensor, y: tfjs.Tensor, w1: tfjs.Tensor, w2: tfjs.Tensor): [tfjs.Tensor, tfjs.Tensor] {
  const hidden = tf.relu(tf.matMul(x, w1))
  const outputGrad = tf.mul(tf.sub(tf.matMul(hidden, w2), y), 2 / ROWS)
  const hiddenGrad = tf.mul(tf.matMul(outputGrad, w2, false, true), tf.step(hidden))
  const rate = 0.01
  return [
    tf.sub(w1, tf.mul(tf.matMul(x, hiddenGrad, true), rate)),
    tf.sub(w2, tf.mul(tf.matMul(hidden, outputGrad, true), rate))
  ]
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
