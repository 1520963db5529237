/** Blob request and response: contract <-> bytes. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES, MAX_BLOB_MESSAGE_BYTES } from '../limits.ts'
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

export type BlobResponse =
  | { readonly manifest: BlobManifest }
  | { readonly data: Uint8Array }
  | { readonly code: string, readonly reason: string }

const MAX_CHUNKS = MAX_BLOB_BYTES / BLOB_CHUNK_BYTES
/** Requests are a hash and a number. */
const MAX_REQUEST_BYTES = 128

export function encodeRequest (request: BlobRequest): Uint8Array {
  return pb.BlobRequest.encode(request)
}

export function decodeRequest (bytes: Uint8Array): BlobRequest {
  const message = parse(bytes, MAX_REQUEST_BYTES, 'blob request', bytes => pb.BlobRequest.decode(bytes))
  return {
    hash: hash(message.hash, 'hash'),
    ...(message.chunk == null ? {} : { chunk: whole(message.chunk, 'chunk', 0, MAX_CHUNKS - 1) })
  }
}

export function encodeResponse (response: BlobResponse): Uint8Array {
  if ('manifest' in response) return pb.BlobResponse.encode({ manifest: { bytes: response.manifest.bytes, chunks: [...response.manifest.chunks] } })
  if ('data' in response) return pb.BlobResponse.encode({ data: response.data })
  return pb.BlobResponse.encode({ code: response.code, reason: clip(response.reason) })
}

export function decodeResponse (bytes: Uint8Array): BlobResponse {
  const { manifest, data, code, reason } = parse(bytes, MAX_BLOB_MESSAGE_BYTES, 'blob response', bytes => pb.BlobResponse.decode(bytes, { limits: { manifest: { chunks: MAX_CHUNKS } } }))
  if ([manifest, data, code].filter(part => part != null).length !== 1) throw new DecodeError('blob response: expected one of manifest, data, refusal')
  if (manifest != null) {
    whole(manifest.bytes, 'blob bytes', 1, MAX_BLOB_BYTES)
    if (manifest.chunks.length !== Math.ceil(manifest.bytes / BLOB_CHUNK_BYTES)) throw new DecodeError(`blob of ${manifest.bytes} bytes in ${manifest.chunks.length} chunks`)
    return { manifest: { bytes: manifest.bytes, chunks: manifest.chunks.map(chunk => hash(chunk, 'chunk hash')) } }
  }
  if (data != null) {
    whole(data.byteLength, 'chunk bytes', 1, BLOB_CHUNK_BYTES)
    return { data }
  }
  return { code: text(code ?? '', 'code'), reason: text(reason ?? '', 'reason', undefined, 0) }
}
