/**
 * A model's folder as Hugging Face's transformers library saves it: config.json, the weights in one file or in shards under
 * an index, and what prepares rows for it. Nothing is fetched from anywhere.
 */
import { open } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { FmtlError, FoundationError } from '../../src/errors.ts'
import { SafetensorsFile } from '../store/safetensors-file.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'
import type { TensorSource } from '../../src/foundation/hugging-face.ts'

const CONFIG = 'config.json'
const WEIGHTS = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
const PREPROCESSOR = 'preprocessor_config.json'
const TOKENIZER = 'tokenizer.json'

/** A config has a few KB; label names of 21,000 classes fit too. */
const MAX_CONFIG_BYTES = 4 * 2 ** 20
/** About 100 bytes a tensor. */
const MAX_INDEX_BYTES = 16 * 2 ** 20
/** Published models of these families have 10 at most. */
const MAX_SHARDS = 256

export interface ModelFolder extends TensorSource {
  readonly config: unknown
  /** preprocessor_config.json, where there is one. */
  readonly preprocessor: unknown
  /** Path of tokenizer.json, where there is one. */
  readonly tokenizer: string | undefined
  close (): Promise<void>
}

/** @throws {FoundationError} a file that is missing, cannot be read, is cut off, or is not what the index says */
export async function openModelFolder (folder: string): Promise<ModelFolder> {
  const config = await readJson(join(folder, CONFIG), MAX_CONFIG_BYTES)
  if (config === undefined) throw new FoundationError(`${folder}: there is no ${CONFIG}`, { next: 'give the folder of a model as save_pretrained writes it' })
  const preprocessor = await readJson(join(folder, PREPROCESSOR), MAX_CONFIG_BYTES)
  const shards = await openShards(folder)
  const fileOf = new Map(shards.flatMap(({ path, file }) => file.names.map(name => [name, { path, file }] as const)))
  return {
    config,
    preprocessor,
    tokenizer: await exists(join(folder, TOKENIZER)) ? join(folder, TOKENIZER) : undefined,
    names: new Set(fileOf.keys()),
    read: async (name: string): Promise<TensorData> => {
      const { path, file } = fileOf.get(name) as { path: string, file: SafetensorsFile }
      try {
        return await file.read(name)
      } catch (cause) {
        throw fileFailure(path, cause)
      }
    },
    close: async () => { for (const { file } of shards) await file.close() }
  }
}

interface Shard {
  readonly path: string
  readonly file: SafetensorsFile
}

async function openShards (folder: string): Promise<readonly Shard[]> {
  const index = await readJson(join(folder, INDEX), MAX_INDEX_BYTES)
  const wanted = index === undefined ? undefined : weightMap(join(folder, INDEX), index)
  const shards: Shard[] = []
  try {
    for (const name of wanted === undefined ? [WEIGHTS] : new Set(wanted.values())) {
      const path = join(folder, name)
      shards.push({ path, file: await SafetensorsFile.open(path).catch((cause: unknown) => { throw fileFailure(path, cause) }) })
    }
    for (const [tensor, name] of wanted ?? []) {
      const shard = shards.find(({ path }) => basename(path) === name) as Shard
      if (!shard.file.names.includes(tensor)) throw new FoundationError(`${shard.path} has no tensor ${tensor}, which the index says is there`, { next: 'fetch the shards and their index again, all from the same place' })
    }
    return shards
  } catch (error) {
    for (const { file } of shards) await file.close()
    throw error
  }
}

/** Tensor to file, both names from outside. */
function weightMap (path: string, index: unknown): ReadonlyMap<string, string> {
  const map = (index as { weight_map?: unknown } | null)?.weight_map
  if (map === null || typeof map !== 'object' || Array.isArray(map)) throw new FoundationError(`${path}: weight_map is missing`, { next: 'fetch the index again' })
  const entries = Object.entries(map)
  const strange = entries.find(([, file]) => typeof file !== 'string' || !/^[\w.-]{1,128}\.safetensors$/.test(file))
  if (strange !== undefined) throw new FoundationError(`${path}: ${JSON.stringify(strange[1]).slice(0, 60)} names no file of the folder`, { next: 'fetch the index again' })
  const files = new Set(entries.map(([, file]) => file as string))
  if (files.size > MAX_SHARDS) throw new FoundationError(`${path}: ${files.size} shards, at most ${MAX_SHARDS} are read`, { next: 'save the model again in larger shards' })
  return new Map(entries as Array<[string, string]>)
}

/** undefined where there is no such file. */
async function readJson (path: string, maxBytes: number): Promise<unknown> {
  let file
  try {
    file = await open(path, 'r')
    const { size } = await file.stat()
    if (size > maxBytes) throw new FoundationError(`${path}: ${size} bytes, at most ${maxBytes} are read`, { next: 'check that it is the file it seems to be' })
    return JSON.parse(await file.readFile('utf8')) as unknown
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fileFailure(path, cause)
  } finally {
    await file?.close()
  }
}

async function exists (path: string): Promise<boolean> {
  try {
    await (await open(path, 'r')).close()
    return true
  } catch {
    return false
  }
}

/** What a broken or missing file means to the person who gave the folder. */
export function fileFailure (path: string, cause: unknown): FoundationError {
  if (cause instanceof FoundationError) return cause
  const { code, message } = cause as NodeJS.ErrnoException
  const why = code === 'ENOENT' ? 'there is no such file' : cause instanceof FmtlError || cause instanceof SyntaxError ? message : `it cannot be read (${code ?? message})`
  return new FoundationError(`${path}: ${why.replace(/\s+/g, ' ')}`, { cause, next: code === 'ENOENT' ? 'check the path' : 'fetch the file again' })
}
