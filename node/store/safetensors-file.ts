/**
 * A safetensors file on disk, read tensor by tensor: the header is checked against the file's length before anything is
 * allocated for a tensor, and no more than one tensor's bytes are held beside what the caller keeps.
 */
import { open } from 'node:fs/promises'
import { dataStart, decodeEntry, parseHeader } from './safetensors.ts'
import { DecodeError } from '../../src/errors.ts'
import type { FileHandle } from 'node:fs/promises'
import type { SafetensorsEntry } from './safetensors.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

/** One read asks for no more: Node refuses more than 2^31 - 1 at once. */
const CHUNK_BYTES = 2 ** 30

export class SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>
  readonly #file: FileHandle
  readonly #start: number
  readonly #entries: ReadonlyMap<string, SafetensorsEntry>

  constructor (file: FileHandle, start: number, entries: readonly SafetensorsEntry[], metadata: Readonly<Record<string, string>>) {
    this.#file = file
    this.#start = start
    this.#entries = new Map(entries.map(entry => [entry.name, entry]))
    this.metadata = metadata
  }

  /** The caller closes it. @throws {DecodeError} the header does not describe exactly this file; errors of the file system as they are */
  static async open (path: string): Promise<SafetensorsFile> {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      const start = dataStart(await readExactly(file, 0, Math.min(8, size)), size)
      const { entries, metadata } = parseHeader(await readExactly(file, 8, start - 8), size - start)
      return new SafetensorsFile(file, start, entries, metadata)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** In the order of the data. */
  get names (): readonly string[] { return [...this.#entries.keys()] }

  /** The numbers, widened to 32 bits. @throws {DecodeError} no such tensor, of a dtype that is not read, or the file has become shorter */
  async read (name: string): Promise<TensorData> {
    const entry = this.#entries.get(name)
    if (entry === undefined) throw new DecodeError(`safetensors: there is no tensor '${name}'`)
    return decodeEntry(entry, await readExactly(this.#file, this.#start + entry.from, entry.to - entry.from))
  }

  async close (): Promise<void> { await this.#file.close() }
}

async function readExactly (file: FileHandle, from: number, bytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(bytes)
  for (let at = 0; at < bytes;) {
    const { bytesRead } = await file.read(into, at, Math.min(CHUNK_BYTES, bytes - at), from + at)
    if (bytesRead === 0) throw new DecodeError(`safetensors: the file ends ${bytes - at} bytes early`)
    at += bytesRead
  }
  return into
}
