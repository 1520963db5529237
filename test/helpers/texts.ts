/** Made-up texts and tables for linear models: words in hash buckets, a topic per text; columns, and a number that follows from them. */
import { Random, deriveSeed } from '../../src/random.ts'
import type { ClientData, InputSpec, Rows } from '../../src/data/dataset.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

/** Eight tokens of a word and an ending each. */
export const TEXTS: InputSpec = { modality: 'tokens', shape: [8, 2], buckets: 48 }
export const TOPIC: TaskSpec = { id: 'topic', kind: 'classes', channels: 3, targets: 1, positions: [1], metric: 'accuracy' }

export const TABLE: InputSpec = { modality: 'table', shape: [6] }
export const DOSE: TaskSpec = { id: 'dose', kind: 'regression', channels: 1, targets: 1, positions: [1], metric: 'mae', scale: { mean: [10], deviation: [8] } }
export const ILL: TaskSpec = { id: 'ill', kind: 'classes', channels: 2, targets: 1, positions: [1], metric: 'accuracy' }

type Counts = readonly [train: number, holdout: number, test: number]

function site (id: string, input: InputSpec, tasks: readonly TaskSpec[], counts: Counts, make: (random: Random, count: number) => Omit<Rows, 'count' | 'source'>): ClientData {
  const [train, holdout, test] = counts.map((count, i): Rows => ({ count, ...make(new Random(deriveSeed(5, id, i)), count), source: Int32Array.from({ length: count }, (_, row) => row) })) as [Rows, Rows, Rows]
  return { id, input, tasks, train, holdout, test }
}

/** Words 0 to 29 belong to a topic each, 30 to 47 to none; every site prefers some. @param topics - those that its texts have */
export function textSite (id: string, counts: Counts, topics: readonly number[] = [0, 1, 2]): ClientData {
  return site(id, TEXTS, [TOPIC], counts, (random, count) => {
    const x = new Float32Array(count * 16).fill(-1)
    const topic = Float32Array.from({ length: count }, () => topics[random.int(topics.length)] as number)
    for (let row = 0; row < count; row++) {
      const length = 3 + random.int(6)
      for (let token = 0; token < length; token++) {
        x[(row * 8 + token) * 2] = random.next() < 0.5 ? 10 * (topic[row] as number) + random.int(10) : 30 + (random.int(18) + id.length) % 18
        x[(row * 8 + token) * 2 + 1] = random.int(48)
      }
    }
    return { x, y: { topic } }
  })
}

export function tableSite (id: string, counts: Counts): ClientData {
  return site(id, TABLE, [DOSE, ILL], counts, (random, count) => {
    const x = Float32Array.from({ length: count * 6 }, () => random.normal() + id.length / 10)
    const score = (row: number): number => [1, -2, 0.5, 0, 0, 1].reduce((sum, factor, i) => sum + factor * (x[row * 6 + i] as number), 0)
    const dose = Float32Array.from({ length: count }, (_, row) => 10 + score(row) + 0.3 * random.normal())
    const ill = Float32Array.from({ length: count }, (_, row) => row % 7 === 3 ? -1 : score(row) + random.normal() > 0 ? 1 : 0)
    return { x, y: { dose, ill } }
  })
}
