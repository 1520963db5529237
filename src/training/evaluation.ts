import type { TensorData } from '../tensor/tensor.ts'

/** Rows a prediction pass handles at once; bounds memory, not results. */
export const EVALUATION_ROWS = 128

/** Stacks the row chunks of several predictions. */
export function joinRows (chunks: ReadonlyArray<ReadonlyMap<string, TensorData>>): ReadonlyMap<string, TensorData> {
  const joined = new Map<string, TensorData>()
  for (const task of chunks[0]?.keys() ?? []) {
    const pieces = chunks.map(chunk => chunk.get(task) as TensorData)
    const data = new Float32Array(pieces.reduce((sum, piece) => sum + piece.data.length, 0))
    let at = 0
    for (const piece of pieces) {
      data.set(piece.data, at)
      at += piece.data.length
    }
    const rows = pieces.reduce((sum, piece) => sum + (piece.shape[0] as number), 0)
    joined.set(task, { shape: [rows, ...(pieces[0] as TensorData).shape.slice(1)], data })
  }
  return joined
}
