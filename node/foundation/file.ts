/** A foundation model as one file: safetensors whose metadata say what the model is and what its weights hash to. */
import { writeFile } from 'node:fs/promises'
import { encodeSafetensors } from '../store/safetensors.ts'
import { FoundationError } from '../../src/errors.ts'
import { SafetensorsFile } from '../store/safetensors-file.ts'
import { fileFailure } from './folder.ts'
import { metadataOf, readLoaded, startWeights } from '../../src/foundation/weights.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { LoadedFoundation } from '../../src/foundation/weights.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

/** @returns how many bytes it has @throws {FoundationError} it cannot be written */
export async function writeFoundation (path: string, loaded: LoadedFoundation): Promise<number> {
  const bytes = encodeSafetensors(loaded.tensors, metadataOf(loaded))
  try {
    await writeFile(path, bytes)
  } catch (cause) {
    throw new FoundationError(`${path}: it cannot be written (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`, { cause, next: 'give another path with --out' })
  }
  return bytes.length
}

/** @throws {FoundationError} no such file, or it is not what `writeFoundation` wrote */
export async function readFoundation (path: string): Promise<LoadedFoundation> {
  try {
    const file = await SafetensorsFile.open(path)
    try {
      const tensors: NamedTensor[] = []
      for (const name of file.names) tensors.push({ name, tensor: await file.read(name) })
      return readLoaded(file.metadata, tensors)
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof FoundationError) throw new FoundationError(`${path}: ${cause.message}`, { cause, ...cause.next === undefined ? {} : { next: cause.next } })
    throw fileFailure(path, cause)
  }
}

/**
 * What a site's trainers start from: nothing where the charter builds on no foundation model and no file is given.
 * @throws {FoundationError} one without the other, or another model's file
 */
export async function startFromFile (charter: Charter, path: string | undefined): Promise<readonly NamedTensor[]> {
  return startWeights(charter, path === undefined ? undefined : await readFoundation(path))
}
