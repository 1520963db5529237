/**
 * One label per token (slots). Loss: cross-entropy over the labelled tokens of a sentence, then over sentences.
 * Padding and unlabelled tokens carry -1. `nonO` is the accuracy on tokens whose label is not the class named 'O'.
 */
import { labelled } from './labelled.ts'
import { ratio } from './metrics.ts'
import type { Task, TaskSpec } from './task.ts'

export function tokenClasses (spec: TaskSpec): Task {
  const outside = spec.classNames?.indexOf('O') ?? -1
  return labelled(spec, ({ channels, counts, table }) => {
    let inside = 0
    let hits = 0
    for (let c = 0; c < channels; c++) {
      if (c === outside) continue
      hits += counts[c * channels + c] as number
      for (let other = 0; other < channels; other++) inside += counts[c * channels + other] as number
    }
    return { accuracy: table.accuracy, macroF1: table.macroF1, nonO: ratio(hits, inside) }
  })
}
