/** The tiny encoders of test/vectors/foundation, imported as a user's folder would be, and what the library that wrote them computes. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { arrange, planImport } from '../../src/foundation/hugging-face.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { openModelFolder } from '../../node/foundation/folder.ts'
import { withHash } from '../../src/foundation/weights.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { ImportPlan } from '../../src/foundation/hugging-face.ts'
import type { InputSpec } from '../../src/data/dataset.ts'
import type { LoadedFoundation } from '../../src/foundation/weights.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

export const VECTORS = join(dirname(dirname(fileURLToPath(import.meta.url))), 'vectors', 'foundation')
export const folderOf = (name: string): string => join(VECTORS, name)

export interface Reference {
  readonly inputs: { readonly pixel_values?: number[][][][], readonly input_ids?: number[][], readonly attention_mask?: number[][] }
  readonly last_hidden_state: number[][][]
  readonly grad_norms: Readonly<Record<string, number>>
}

export function readReference (name: string): Reference { return JSON.parse(readFileSync(join(folderOf(name), 'reference.json'), 'utf8')) as Reference }

export async function importTiny (folder: string): Promise<LoadedFoundation & { readonly plan: ImportPlan, readonly unused: readonly string[] }> {
  const opened = await openModelFolder(folder)
  try {
    const plan = planImport(opened.config)
    const { tensors, unused } = await arrange(plan, opened)
    return { ...withHash(plan.model, tensors), plan, unused }
  } finally {
    await opened.close()
  }
}

/** A charter of whole models on a foundation model. */
export function foundationCharter ({ model }: LoadedFoundation, input: InputSpec, tasks: readonly TaskSpec[], changes: Partial<CharterOptions> = {}): Charter {
  return createCharter({ name: 'small', seed: 7, input, tasks, ...changes, model: { ...model, trunk: 'client', sharedEmbedder: true, ...changes.model } })
}
