/** What decisions among a site's models rest on: the loss of each of its rows, over all tasks that have a label there. */
import type { Task } from './task.ts'
import type { TensorData } from '../tensor/tensor.ts'

/**
 * Mean over tasks, row by row. Rows without any label are left out, the same ones whatever model answers.
 * @param answers - linked outputs and targets of each task, rows in one order
 */
export function rowLosses (answers: ReadonlyArray<{ readonly task: Task, readonly linked: TensorData, readonly y: TensorData }>): Float64Array {
  const rows = answers[0]?.y.shape[0] ?? 0
  const sums = new Float64Array(rows)
  const labels = new Uint8Array(rows)
  for (const { task, linked, y } of answers) {
    task.rowLoss(linked, y).forEach((loss, row) => {
      if (Number.isNaN(loss)) return
      sums[row] = (sums[row] as number) + loss
      labels[row] = (labels[row] as number) + 1
    })
  }
  return sums.map((sum, row) => sum / (labels[row] as number)).filter((_, row) => (labels[row] as number) > 0)
}
