/**
 * Checkpoints, one safetensors file each. The name carries the step and the sha-256 of the content,
 *
 *     000000000120-<64 hex digits>.safetensors
 *
 * so that one rename makes file and checksum appear together, and a cut or flipped file never passes for a checkpoint.
 * The newest that is whole is used; a damaged one is renamed to `*.corrupt`, said in one line, and the one before it used.
 */
import { mkdir, readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'
import { TEMPORARY, diskError, writeDurably } from './durable.ts'
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts'
import { sha256InPieces } from '../../src/hashing.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

export interface CheckpointStoreInit {
  /** How many are kept. Default 3: the newest, and two to fall back to. */
  readonly keep?: number
  /** Written into every checkpoint and required of the one that is loaded, for example `{ charter: hash }`. */
  readonly expect?: Readonly<Record<string, string>>
  /** Told, in one line each, which files could not be used and why. */
  readonly onDamaged?: (line: string) => void
}

export interface Checkpoint {
  readonly step: number
  readonly tensors: NamedTensor[]
  readonly meta: Record<string, string>
}

export interface StoredFile {
  readonly step: number
  readonly sha256: string
  readonly name: string
}

const NAME = /^(\d{12})-([0-9a-f]{64})\.safetensors$/
const MAX_STEP = 10 ** 12 - 1

export class CheckpointStore {
  readonly #dir: string
  readonly #keep: number
  readonly #expect: Readonly<Record<string, string>>
  readonly #onDamaged: (line: string) => void
  #opened: Promise<void> | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor (dir: string, init: CheckpointStoreInit = {}) {
    this.#dir = dir
    this.#keep = init.keep ?? 3
    this.#expect = init.expect ?? {}
    this.#onDamaged = init.onDamaged ?? (() => {})
    if (!Number.isInteger(this.#keep) || this.#keep < 1) throw new InvalidParametersError(`keep must be a whole number from 1, got ${this.#keep}`)
  }

  /**
   * Returns when the checkpoint would outlive a power cut.
   * @param step - a checkpoint of the same step is replaced
   * @throws {ResourceError} disk full, no permission; the checkpoints before are untouched
   */
  async save (step: number, tensors: readonly NamedTensor[], meta: Readonly<Record<string, string>> = {}): Promise<{ bytes: number }> {
    if (!Number.isInteger(step) || step < 0 || step > MAX_STEP) throw new InvalidParametersError(`${step} is no step`)
    const bytes = encodeSafetensors(tensors, { ...meta, ...this.#expect, step: String(step) })
    const saved = this.#last.then(async () => {
      const sha256 = await sha256InPieces(bytes)
      await this.#open()
      const name = `${String(step).padStart(12, '0')}-${sha256}.safetensors`
      await writeDurably(join(this.#dir, name), bytes)
      await this.#prune({ step, sha256, name })
    })
    this.#last = saved.catch(() => {}) // its caller hears of it; the next save tries anew
    await saved
    return { bytes: bytes.length }
  }

  /**
   * The newest checkpoint that is whole, or undefined where there is none.
   * @throws {InvalidParametersError} it is of another model or charter
   * @throws {ResourceError} the folder or a file cannot be read
   */
  async latest (): Promise<Checkpoint | undefined> {
    await this.#last
    await this.#open()
    for (const file of await listCheckpoints(this.#dir)) {
      const found = await this.#read(file)
      if (found === undefined) continue
      this.#check(file, found.meta)
      return found
    }
    return undefined
  }

  /** Makes the folder and clears what a kill left half-written. Tried again where it failed: the disk may be back. */
  async #open (): Promise<void> {
    this.#opened ??= (async () => {
      await mkdir(this.#dir, { recursive: true })
      for (const name of await readdir(this.#dir)) {
        if (name.endsWith(TEMPORARY)) await rm(join(this.#dir, name), { force: true })
      }
    })()
    try {
      await this.#opened
    } catch (err) {
      this.#opened = undefined
      throw diskError(err, `checkpoints in ${this.#dir} not opened`, this.#dir)
    }
  }

  async #read (file: StoredFile): Promise<Checkpoint | undefined> {
    const found = await readCheckpoint(this.#dir, file)
    return typeof found === 'string' ? await this.#quarantine(file.name, found) : found
  }

  async #quarantine (name: string, why: string): Promise<undefined> {
    try {
      await rename(join(this.#dir, name), join(this.#dir, `${name}.corrupt`))
    } catch (err) {
      throw diskError(err, `damaged checkpoint ${name} not set aside`, this.#dir)
    }
    this.#onDamaged(`checkpoint ${name} is damaged (${why}); kept as ${name}.corrupt`)
  }

  #check ({ name }: StoredFile, meta: Readonly<Record<string, string>>): void {
    for (const [key, expected] of Object.entries(this.#expect)) {
      if (meta[key] === expected) continue
      throw new InvalidParametersError(`checkpoint ${name} is of ${key} ${meta[key] ?? 'unknown'}, this node runs ${key} ${expected}`, { next: `start in an empty home, or set it aside: mv ${this.#dir} ${this.#dir}.old` })
    }
  }

  /** Another file of the step just saved is an older attempt at it. */
  async #prune (saved: StoredFile): Promise<void> {
    try {
      const others = (await listCheckpoints(this.#dir)).filter(({ name }) => name !== saved.name)
      const old = others.filter(({ step }) => step !== saved.step).slice(this.#keep - 1)
      for (const { name } of [...others.filter(({ step }) => step === saved.step), ...old]) await rm(join(this.#dir, name), { force: true })
    } catch (err) {
      throw diskError(err, `old checkpoints in ${this.#dir} not removed`, this.#dir)
    }
  }
}

/** Newest first. @throws {ResourceError} the folder cannot be read */
export async function listCheckpoints (dir: string): Promise<StoredFile[]> {
  const names = await readdir(dir).catch((err: unknown) => { throw diskError(err, `${dir} not read`, dir) })
  const files = names.flatMap(name => {
    const [, step, sha256] = NAME.exec(name) ?? []
    return step === undefined || sha256 === undefined ? [] : [{ step: Number(step), sha256, name }]
  })
  return files.sort((a, b) => b.step - a.step)
}

/** Changes nothing. @returns the checkpoint, or why it is none. @throws {ResourceError} it cannot be read */
export async function readCheckpoint (dir: string, { step, sha256, name }: StoredFile): Promise<Checkpoint | string> {
  const path = join(dir, name)
  let bytes
  try {
    bytes = await readFile(path)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EIO') throw diskError(err, `${path} not read`, dir)
    return 'the disk cannot read it'
  }
  if (await sha256InPieces(bytes) !== sha256) return 'its content does not have the sha-256 in its name'
  try {
    const { tensors, metadata: { step: written, ...meta } } = decodeSafetensors(bytes)
    return written === String(step) ? { step, tensors, meta } : `it is of step ${written ?? 'unknown'}`
  } catch (err) {
    if (!(err instanceof DecodeError)) throw err
    return err.message
  }
}
