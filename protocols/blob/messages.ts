/** Blob request and response: contract <-> bytes. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES, MAX_BLOB_MESSAGE_BYTES, MAX_BLOB_REQUEST_BYTES } from '../limits.ts'
import { clip, hash, parse, text, whole } from '../wire.ts'
import * as pb from './messages.generated.ts'

/** `chunk` absent: the manifest. */
export interface BlobRequest {
  readonly hash: string
  readonly chunk?: number
}

export interface BlobManifest {
  readonly bytes: number
  /** sha-256 of every chunk, hex. */
  readonly chunks: readonly string[]
}

/** `data` is a chunk in pieces, one after the other. */
export type BlobResponse =
  | { readonly manifest: BlobManifest }
  | { readonly data: readonly Uint8Array[] }
  | { readonly code: string, readonly reason: string }

const MAX_CHUNKS = MAX_BLOB_BYTES / BLOB_CHUNK_BYTES
/** A tag and a length of up to 2 MiB. */
const MAX_PREFIX_BYTES = 4
/** Field 2 of BlobResponse, length-delimited. */
const DATA_TAG = 2 << 3 | 2

export function encodeRequest (request: BlobRequest): Uint8Array {
  return pb.BlobRequest.encode(request)
}

export function decodeRequest (bytes: Uint8Array): BlobRequest {
  const message = parse(bytes, MAX_BLOB_REQUEST_BYTES, 'blob request', bytes => pb.BlobRequest.decode(bytes))
  return {
    hash: hash(message.hash, 'hash'),
    ...(message.chunk == null ? {} : { chunk: whole(message.chunk, 'chunk', 0, MAX_CHUNKS - 1) })
  }
}

/** @returns the message in parts, to be sent one after the other: a chunk is not copied */
export function encodeResponse (response: BlobResponse): Uint8Array[] {
  if ('manifest' in response) return [pb.BlobResponse.encode({ manifest: { bytes: response.manifest.bytes, chunks: [...response.manifest.chunks] } })]
  if ('data' in response) return [dataPrefix(byteLength(response.data)), ...response.data]
  return [pb.BlobResponse.encode({ code: response.code, reason: clip(response.reason) })]
}

/** @param pieces - one message, in the pieces in which it arrived; a chunk is given back as views of them */
export function decodeResponse (pieces: readonly Uint8Array[]): BlobResponse {
  const length = byteLength(pieces)
  const first = pieces[0] ?? new Uint8Array(0)
  if (first[0] === DATA_TAG && length <= MAX_BLOB_MESSAGE_BYTES) {
    const prefix = prefixOf(first, length)
    if (prefix !== undefined) {
      whole(length - prefix, 'chunk bytes', 1, BLOB_CHUNK_BYTES)
      return { data: [first.subarray(prefix), ...pieces.slice(1)].filter(piece => piece.byteLength > 0) }
    }
  }
  const bytes = pieces.length === 1 ? first : Buffer.concat(pieces)
  const { manifest, data, code, reason } = parse(bytes, MAX_BLOB_MESSAGE_BYTES, 'blob response', bytes => pb.BlobResponse.decode(bytes, { limits: { manifest: { chunks: MAX_CHUNKS } } }))
  if ([manifest, data, code].filter(part => part != null).length !== 1) throw new DecodeError('blob response: expected one of manifest, data, refusal')
  if (manifest != null) {
    whole(manifest.bytes, 'blob bytes', 1, MAX_BLOB_BYTES)
    if (manifest.chunks.length !== Math.ceil(manifest.bytes / BLOB_CHUNK_BYTES)) throw new DecodeError(`blob of ${manifest.bytes} bytes in ${manifest.chunks.length} chunks`)
    return { manifest: { bytes: manifest.bytes, chunks: manifest.chunks.map(chunk => hash(chunk, 'chunk hash')) } }
  }
  if (data != null) {
    whole(data.byteLength, 'chunk bytes', 1, BLOB_CHUNK_BYTES)
    return { data: [data] }
  }
  return { code: text(code ?? '', 'code'), reason: text(reason ?? '', 'reason', undefined, 0) }
}

export function byteLength (pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
}

/** What precedes a chunk in a message that has nothing else: tag and length. */
function dataPrefix (length: number): Uint8Array {
  const prefix = [DATA_TAG]
  let left = length
  for (; left >= 128; left >>>= 7) prefix.push((left & 127) | 128)
  return Uint8Array.from([...prefix, left])
}

/** Bytes of that prefix, where the message is exactly a prefix and its chunk. */
function prefixOf (first: Uint8Array, length: number): number | undefined {
  for (let size = 2; size <= MAX_PREFIX_BYTES; size++) {
    const prefix = dataPrefix(length - size)
    if (prefix.byteLength === size) return first.byteLength >= size && prefix.every((byte, i) => byte === first[i]) ? size : undefined
  }
  return undefined
}
