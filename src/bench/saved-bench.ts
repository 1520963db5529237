/** A bench as named tensors, for checkpoints: the answers of peers' models with their cards. The site's own give theirs anew. */
import { InvalidParametersError } from '../errors.ts'
import { elements, sameShape } from '../tensor/tensor.ts'
import { splitsOf } from '../training/committee.ts'
import type { Answers, BenchEntry, ModelBench } from './model-bench.ts'
import type { CardDraft } from './card.ts'
import type { ClientData } from '../data/dataset.ts'
import type { EvaluationSplit } from '../training/client-trainer.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'

export interface SavedBench {
  readonly entries: ReadonlyArray<Pick<BenchEntry, 'card' | 'answers'>>
  readonly gone: ReadonlyMap<string, number>
}

/** Names are JSON: ['answers', card, split, task], and ['gone', model] for what had to leave. */
export function saveBench (bench: ModelBench): NamedTensor[] {
  return [
    ...bench.entries.filter(({ own }) => !own).flatMap(({ card, answers }) => [...answers].flatMap(([split, byTask]) => [...byTask].map(([task, { shape, data }]) =>
      ({ name: JSON.stringify(['answers', card, split, task]), tensor: { shape, data: data.slice() } })))),
    ...[...bench.gone].map(([model, version]) => ({ name: JSON.stringify(['gone', model]), tensor: { shape: [1], data: Float32Array.of(version) } }))
  ]
}

/** @throws {InvalidParametersError} answers that are not to these rows */
export function readBench (state: readonly NamedTensor[], data: ClientData): SavedBench {
  const entries = new Map<string, { card: CardDraft, answers: Map<EvaluationSplit, Map<string, TensorData>> }>()
  const gone = new Map<string, number>()
  for (const { name, tensor: { shape, data: numbers } } of state) {
    if (!name.startsWith('["')) continue
    const [kind, of, split, id] = JSON.parse(name) as [string, unknown, EvaluationSplit, string]
    if (kind === 'gone') gone.set(of as string, numbers[0] as number)
    if (kind !== 'answers') continue
    const task = data.tasks.find(task => task.id === id)
    const rows = splitsOf(data).includes(split) ? data[split]?.count : undefined
    if (task === undefined || rows === undefined || !sameShape(shape, [rows, elements(task.positions), task.channels])) {
      throw new InvalidParametersError(`checkpoint: the bench has answers to other ${split} rows of ${id}`, { next: 'start in an empty home, or restore the matching checkpoint' })
    }
    const key = JSON.stringify(of)
    const entry = entries.get(key) ?? { card: of as CardDraft, answers: new Map() }
    entry.answers.set(split, (entry.answers.get(split) ?? new Map<string, TensorData>()).set(id, { shape, data: numbers.slice() }))
    entries.set(key, entry)
  }
  return { entries: [...entries.values()] satisfies Array<{ card: CardDraft, answers: Answers }>, gone }
}
