/**
 * Whole files with limits: how large a file may be and how far a gzip member may expand, both checked before the
 * memory is taken. Every failure is a DataError that says what the file is, why it cannot be read and what to do.
 */
import { open } from 'node:fs/promises'
import { createGunzip, gunzip } from 'node:zlib'
import { DataError } from '../../errors.ts'
import type { FileHandle } from 'node:fs/promises'

/** Largest content of one file, packed or not: 1 GiB holds a million 32 x 32 colour pictures. */
export const MAX_FILE_BYTES = 2 ** 30
/** Deflate cannot pack tighter than 1032 to 1; a header that promises more is a lie. */
export const MAX_DEFLATE_RATIO = 1032
/** From here on a file that expands over 200 to 1 is taken for a bomb; the sets at hand stay below 170 and 3 MB. */
const FREE_EXPANSION_BYTES = 64 * 2 ** 20
const MAX_RATIO = 200

export interface ReadInit {
  /** Largest content after unpacking. Default `MAX_FILE_BYTES`. */
  maxBytes?: number
}

const CAUSES: Readonly<Record<string, [string, string]>> = {
  ENOENT: ['there is no such file', 'check the path, or the file names in the manifest'],
  ENOTDIR: ['part of the path is a file, not a folder', 'check the path'],
  EACCES: ['this user may not read it', 'give the user that runs fmtl-node read permission'],
  EPERM: ['this user may not read it', 'give the user that runs fmtl-node read permission'],
  EISDIR: ['it is a folder', 'give the path of a file'],
  EMFILE: ['too many files are open', 'raise the limit of open files (ulimit -n)'],
  EIO: ['the disk reported a read error', 'check the disk, or copy the file from its source again']
}

/** What an error of the file system means to the person who gave the path. */
export function fileError (path: string, cause: unknown): DataError {
  if (cause instanceof DataError) return cause
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? ''
  const [why, next] = CAUSES[code] ?? [`it cannot be read (${code || String((cause as Error | undefined)?.message ?? cause)})`, 'check the file']
  return new DataError(`${path}: ${why}`, { cause, next })
}

/** Runs `use` on the open file and turns what goes wrong into DataErrors. */
async function withFile<T> (path: string, use: (file: FileHandle, bytes: number) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const stat = await file.stat()
    if (stat.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
    if (!stat.isFile()) throw new DataError(`${path}: it is not a regular file`, { next: 'give the path of a file' })
    return await use(file, stat.size)
  } catch (err) {
    throw fileError(path, err)
  } finally {
    await file?.close()
  }
}

async function readAll (file: FileHandle, path: string, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes)
  let filled = 0
  while (filled < bytes) {
    const { bytesRead } = await file.read(buffer, filled, bytes - filled, filled)
    if (bytesRead === 0) throw new DataError(`${path}: it became shorter while it was read`, { next: 'try again when the file is complete' })
    filled += bytesRead
  }
  return buffer
}

export function isGzip (head: Uint8Array): boolean { return head[0] === 0x1f && head[1] === 0x8b }

/**
 * The content of a plain or gzip file.
 *
 * @throws {DataError} missing, unreadable, empty, too large, broken gzip, or expanding like a bomb
 */
export async function readBytes (path: string, init: ReadInit = {}): Promise<Buffer> {
  const maxBytes = init.maxBytes ?? MAX_FILE_BYTES
  return await withFile(path, async (file, bytes) => {
    if (bytes === 0) throw new DataError(`${path}: the file is empty`, { next: 'copy it from its source again' })
    if (bytes > maxBytes) throw tooLarge(path, maxBytes)
    const packed = await readAll(file, path, bytes)
    if (!isGzip(packed)) return packed
    const limit = Math.min(maxBytes, Math.max(FREE_EXPANSION_BYTES, bytes * MAX_RATIO))
    return await unpack(path, packed, limit)
  })
}

async function unpack (path: string, packed: Buffer, limit: number): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    gunzip(packed, { maxOutputLength: limit }, (err, content) => {
      if (err == null) resolve(content)
      else if ((err as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') reject(tooLarge(path, limit))
      else reject(new DataError(`${path}: broken gzip (${err.message})`, { cause: err, next: 'the file is cut off or damaged: copy it from its source again' }))
    })
  })
}

function tooLarge (path: string, limit: number): DataError {
  return new DataError(`${path}: more than ${Math.floor(limit / 2 ** 20)} MiB of content`, { next: 'split the file, or keep only the rows and columns that are needed' })
}

/**
 * The first `count` bytes of the content and the most bytes the content can have, without unpacking the rest.
 *
 * @throws {DataError}
 */
export async function readHead (path: string, count: number): Promise<{ head: Buffer, atMost: number, packed: boolean }> {
  return await withFile(path, async (file, bytes) => {
    // 64 KiB hold any gzip header and the first deflate block's start
    const start = await readAll(file, path, Math.min(bytes, Math.max(count, 65_536)))
    if (!isGzip(start)) return { head: start.subarray(0, count), atMost: bytes, packed: false }
    return { head: await unpackHead(path, start, count), atMost: bytes * MAX_DEFLATE_RATIO, packed: true }
  })
}

async function unpackHead (path: string, start: Buffer, count: number): Promise<Buffer> {
  const stream = createGunzip({ chunkSize: 1024 })
  stream.end(start)
  const chunks: Buffer[] = []
  let have = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      have += chunk.length
      if (have >= count) break
    }
  } catch (err) {
    // the tail of the file was never given to it: only a head that is too short is an error
    if (have < count) throw new DataError(`${path}: broken gzip (${(err as Error).message})`, { cause: err, next: 'the file is cut off or damaged: copy it from its source again' })
  }
  return Buffer.concat(chunks).subarray(0, count)
}
