// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface BlobRequest {
  hash: string
  chunk?: number
}

const codecBlobRequest: Codec<BlobRequest, Partial<BlobRequest>> = message<BlobRequest, Partial<BlobRequest>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.hash != null && obj.hash !== '')) {
    w.uint32(10)
    w.string(obj.hash)
  }

  if (obj.chunk != null) {
    w.uint32(16)
    w.uint32(obj.chunk)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    hash: ''
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.hash = reader.string()
        break
      }
      case 2: {
        obj.chunk = reader.uint32()
        break
      }
      default: {
        reader.skipType(tag & 7)
        break
      }
    }
  }

  return obj
}, function * () {})

export const BlobRequest = {
  codec: (): Codec<BlobRequest, Partial<BlobRequest>> => codecBlobRequest,
  encode: (obj: Partial<BlobRequest>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecBlobRequest),
  decode: (buf: Uint8Array, opts?: DecodeOptions<BlobRequest>): BlobRequest => decodeMessage(buf, codecBlobRequest, opts)
}

export interface BlobManifest {
  bytes: number
  chunks: string[]
}

const codecBlobManifest: Codec<BlobManifest, Partial<BlobManifest>> = message<BlobManifest, Partial<BlobManifest>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.bytes != null && obj.bytes !== 0)) {
    w.uint32(8)
    w.uint64Number(obj.bytes)
  }

  if (obj.chunks != null && obj.chunks.length > 0) {
    for (const value of obj.chunks) {
      w.uint32(18)
      w.string(value)
    }
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    bytes: 0,
    chunks: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.bytes = reader.uint64Number()
        break
      }
      case 2: {
        if (opts.limits?.chunks != null && obj.chunks.length === opts.limits.chunks) {
          throw new MaxLengthError('Decode error - repeated field "chunks" had too many elements')
        }

        obj.chunks.push(reader.string())
        break
      }
      default: {
        reader.skipType(tag & 7)
        break
      }
    }
  }

  return obj
}, function * () {})

export const BlobManifest = {
  codec: (): Codec<BlobManifest, Partial<BlobManifest>> => codecBlobManifest,
  encode: (obj: Partial<BlobManifest>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecBlobManifest),
  decode: (buf: Uint8Array, opts?: DecodeOptions<BlobManifest>): BlobManifest => decodeMessage(buf, codecBlobManifest, opts)
}

export interface BlobResponse {
  manifest?: BlobManifest
  data?: Uint8Array
  code?: string
  reason?: string
}

const codecBlobResponse: Codec<BlobResponse, Partial<BlobResponse>> = message<BlobResponse, Partial<BlobResponse>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if (obj.manifest != null) {
    w.uint32(10)
    BlobManifest.codec().encode(obj.manifest, w)
  }

  if (obj.data != null) {
    w.uint32(18)
    w.bytes(obj.data)
  }

  if (obj.code != null) {
    w.uint32(26)
    w.string(obj.code)
  }

  if (obj.reason != null) {
    w.uint32(34)
    w.string(obj.reason)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {}

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.manifest = BlobManifest.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.manifest
        })
        break
      }
      case 2: {
        obj.data = reader.bytes()
        break
      }
      case 3: {
        obj.code = reader.string()
        break
      }
      case 4: {
        obj.reason = reader.string()
        break
      }
      default: {
        reader.skipType(tag & 7)
        break
      }
    }
  }

  return obj
}, function * () {})

export const BlobResponse = {
  codec: (): Codec<BlobResponse, Partial<BlobResponse>> => codecBlobResponse,
  encode: (obj: Partial<BlobResponse>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecBlobResponse),
  decode: (buf: Uint8Array, opts?: DecodeOptions<BlobResponse>): BlobResponse => decodeMessage(buf, codecBlobResponse, opts)
}
