/** Six classes as clouds in ten dimensions, each site's clouds moved by a shift of its own: the toy that Split-Mix is measured on. */
import { Random, deriveSeed } from '../../src/random.ts'
import type { Dataset, Rows } from '../../src/data/dataset.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

const [INPUTS, CLASSES, SPREAD, SHIFT] = [10, 6, 1.6, 0.6]

export const CLOUD: TaskSpec = { id: 'cloud', kind: 'classes', channels: CLASSES, targets: 1, positions: [1], metric: 'accuracy' }

export function gaussianSites (seed: number, clients: number, [train, holdout, test]: readonly [number, number, number]): Dataset {
  const random = new Random(deriveSeed(seed, 'clouds'))
  const centres = Array.from({ length: CLASSES * INPUTS }, () => random.normal())
  const clientIds = Array.from({ length: clients }, (_, i) => `site-${String(i).padStart(2, '0')}`)
  const input = { modality: 'table', shape: [INPUTS] } as const
  return {
    name: 'clouds',
    input,
    tasks: [CLOUD],
    clientIds,
    recipe: {},
    client: async id => {
      const own = new Random(deriveSeed(seed, 'site', id))
      const shift = Array.from({ length: INPUTS }, () => SHIFT * own.normal())
      const draw = (count: number): Rows => {
        const [x, cloud] = [new Float32Array(count * INPUTS), new Float32Array(count)]
        for (let row = 0; row < count; row++) {
          const label = cloud[row] = own.int(CLASSES)
          for (let i = 0; i < INPUTS; i++) x[row * INPUTS + i] = (centres[label * INPUTS + i] as number) + SPREAD * own.normal() + (shift[i] as number)
        }
        return { count, x, y: { cloud }, source: Int32Array.from({ length: count }, (_, row) => row) }
      }
      return { id, input, tasks: [CLOUD], train: draw(train), holdout: draw(holdout), test: draw(test) }
    }
  }
}
