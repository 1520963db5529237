/** Draws mini-batches of a client's rows. Stateless: step s of client c is the same rows after any crash or restart. */
import { Random, deriveSeed } from '../random.ts'
import { pickRows } from '../data/pool.ts'
import type { InputSpec, Rows } from '../data/dataset.ts'

export interface Batch {
  readonly count: number
  readonly x: Float32Array
  /** task -> count x positions x targets. */
  readonly y: Readonly<Record<string, Float32Array>>
}

export function drawBatch (rows: Rows, input: InputSpec, init: { size: number, seed: number, step: number, shift: number }): Batch {
  const random = new Random(deriveSeed(init.seed, 'batch', init.step))
  const picked = random.permutation(rows.count).slice(0, init.size)
  const batch = pickRows(rows, picked)
  if (init.shift > 0 && input.modality === 'image') shiftPictures(batch.x, input, picked.length, init.shift, random)
  return batch
}

/** Moves each picture by a random whole number of pixels in x and y; the edge is repeated. */
function shiftPictures (x: Float32Array, input: InputSpec, count: number, reach: number, random: Random): void {
  const [height, width, channels] = input.shape as [number, number, number]
  const size = height * width * channels
  for (let row = 0; row < count; row++) {
    const dy = random.int(2 * reach + 1) - reach
    const dx = random.int(2 * reach + 1) - reach
    if (dx === 0 && dy === 0) continue
    const picture = x.slice(row * size, (row + 1) * size)
    for (let py = 0; py < height; py++) {
      const fromY = Math.min(height - 1, Math.max(0, py + dy))
      for (let px = 0; px < width; px++) {
        const fromX = Math.min(width - 1, Math.max(0, px + dx))
        for (let c = 0; c < channels; c++) {
          x[row * size + (py * width + px) * channels + c] = picture[(fromY * width + fromX) * channels + c] as number
        }
      }
    }
  }
}
