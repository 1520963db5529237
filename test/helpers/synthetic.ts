/**
 * A small data set in memory: 8 x 8 pictures with one bright quadrant. Tasks: which quadrant ('side'), how bright
 * ('level'), and which pixels ('mask'). Rows depend on the client's id and the seed only, never on the client's place.
 */
import { Random, deriveSeed } from '../../src/random.ts'
import type { ClientData, Dataset, InputSpec, Rows } from '../../src/data/dataset.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

export const PICTURES: InputSpec = { modality: 'image', shape: [8, 8, 1] }

export const SIDE: TaskSpec = { id: 'side', kind: 'classes', channels: 4, targets: 1, positions: [1], metric: 'accuracy' }
export const LEVEL: TaskSpec = { id: 'level', kind: 'regression', channels: 1, targets: 1, positions: [1], metric: 'mae' }
export const MASK: TaskSpec = { id: 'mask', kind: 'dense-binary', channels: 1, targets: 1, positions: [8, 8], metric: 'f1' }

export interface SyntheticClient {
  readonly id: string
  readonly tasks: readonly TaskSpec[]
  /** Whose pictures these are; default: the client's own. */
  readonly rowsOf?: string
  /** Factor on 'level': -1 contradicts the others. */
  readonly sign?: number
}

export interface SyntheticInit {
  readonly clients: readonly SyntheticClient[]
  readonly seed?: number
  /** Rows per client: train, hold-out, test. Default 12, 6, 6. */
  readonly rows?: readonly [number, number, number]
}

/** Three clients with different tasks that overlap. */
export const THREE: readonly SyntheticClient[] = [
  { id: 'ada', tasks: [SIDE, LEVEL] },
  { id: 'ben', tasks: [MASK] },
  { id: 'cyd', tasks: [LEVEL, MASK] }
]

export function syntheticDataset (init: SyntheticInit): Dataset {
  const tasks = [...new Map(init.clients.flatMap(client => client.tasks).map(task => [task.id, task])).values()].sort((a, b) => a.id < b.id ? -1 : 1)
  return {
    name: 'quadrants',
    input: PICTURES,
    tasks,
    clientIds: init.clients.map(client => client.id),
    recipe: {},
    client: async id => clientData(init.clients.find(client => client.id === id) as SyntheticClient, init)
  }
}

export function clientData (client: SyntheticClient, init: Omit<SyntheticInit, 'clients'> = {}): ClientData {
  const [train, holdout, test] = init.rows ?? [12, 6, 6]
  const part = (name: string, count: number): Rows =>
    rows(client, count, deriveSeed(init.seed ?? 1, 'rows', client.rowsOf ?? client.id, name))
  return { id: client.id, input: PICTURES, tasks: client.tasks, train: part('train', train), holdout: part('holdout', holdout), test: part('test', test) }
}

function rows (client: SyntheticClient, count: number, seed: number): Rows {
  const random = new Random(seed)
  const x = new Float32Array(count * 64)
  const all: Record<string, Float32Array> = { side: new Float32Array(count), level: new Float32Array(count), mask: new Float32Array(count * 64) }
  for (let row = 0; row < count; row++) {
    const quadrant = random.int(4)
    const brightness = 0.5 + random.next()
    all.side?.fill(quadrant, row, row + 1)
    all.level?.fill((client.sign ?? 1) * brightness, row, row + 1)
    for (let pixel = 0; pixel < 64; pixel++) {
      const [top, left] = [pixel < 32, pixel % 8 < 4]
      const inside = (top ? 0 : 2) + (left ? 0 : 1) === quadrant
      x[row * 64 + pixel] = (inside ? brightness : -0.5) + 0.2 * random.normal()
      all.mask?.fill(inside ? 1 : 0, row * 64 + pixel, row * 64 + pixel + 1)
    }
  }
  const y = Object.fromEntries(client.tasks.map(task => [task.id, all[task.id] as Float32Array]))
  return { count, x, y, source: Int32Array.from({ length: count }, (_, i) => i) }
}
