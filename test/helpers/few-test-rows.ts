/** Data sets with fewer test rows, evenly spaced, where evaluation would take longer than training. */
import { pickRows } from '../../src/data/pool.ts'
import type { Dataset } from '../../src/data/dataset.ts'

export function fewTestRows (dataset: Dataset, rows: number): Dataset {
  return {
    ...dataset,
    client: async id => {
      const data = await dataset.client(id)
      const { count } = data.test
      const step = Math.max(1, Math.floor(count / rows))
      return { ...data, test: pickRows(data.test, Array.from({ length: Math.min(rows, count) }, (_, i) => i * step)) }
    }
  }
}
