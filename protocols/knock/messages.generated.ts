// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface KnockRequest {
  charter?: boolean
  knock?: Uint8Array
}

const codecKnockRequest: Codec<KnockRequest, Partial<KnockRequest>> = message<KnockRequest, Partial<KnockRequest>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if (obj.charter != null) {
    w.uint32(8)
    w.bool(obj.charter)
  }

  if (obj.knock != null) {
    w.uint32(18)
    w.bytes(obj.knock)
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
        obj.charter = reader.bool()
        break
      }
      case 2: {
        obj.knock = reader.bytes()
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

export const KnockRequest = {
  codec: (): Codec<KnockRequest, Partial<KnockRequest>> => codecKnockRequest,
  encode: (obj: Partial<KnockRequest>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecKnockRequest),
  decode: (buf: Uint8Array, opts?: DecodeOptions<KnockRequest>): KnockRequest => decodeMessage(buf, codecKnockRequest, opts)
}

export interface KnockResponse {
  charter?: Uint8Array
  status?: string
  entries: Uint8Array[]
  addresses: string[]
  code?: string
  reason?: string
}

const codecKnockResponse: Codec<KnockResponse, Partial<KnockResponse>> = message<KnockResponse, Partial<KnockResponse>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if (obj.charter != null) {
    w.uint32(10)
    w.bytes(obj.charter)
  }

  if (obj.status != null) {
    w.uint32(18)
    w.string(obj.status)
  }

  if (obj.entries != null && obj.entries.length > 0) {
    for (const value of obj.entries) {
      w.uint32(26)
      w.bytes(value)
    }
  }

  if (obj.addresses != null && obj.addresses.length > 0) {
    for (const value of obj.addresses) {
      w.uint32(34)
      w.string(value)
    }
  }

  if (obj.code != null) {
    w.uint32(42)
    w.string(obj.code)
  }

  if (obj.reason != null) {
    w.uint32(50)
    w.string(obj.reason)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    entries: [],
    addresses: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.charter = reader.bytes()
        break
      }
      case 2: {
        obj.status = reader.string()
        break
      }
      case 3: {
        if (opts.limits?.entries != null && obj.entries.length === opts.limits.entries) {
          throw new MaxLengthError('Decode error - repeated field "entries" had too many elements')
        }

        obj.entries.push(reader.bytes())
        break
      }
      case 4: {
        if (opts.limits?.addresses != null && obj.addresses.length === opts.limits.addresses) {
          throw new MaxLengthError('Decode error - repeated field "addresses" had too many elements')
        }

        obj.addresses.push(reader.string())
        break
      }
      case 5: {
        obj.code = reader.string()
        break
      }
      case 6: {
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

export const KnockResponse = {
  codec: (): Codec<KnockResponse, Partial<KnockResponse>> => codecKnockResponse,
  encode: (obj: Partial<KnockResponse>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecKnockResponse),
  decode: (buf: Uint8Array, opts?: DecodeOptions<KnockResponse>): KnockResponse => decodeMessage(buf, codecKnockResponse, opts)
}
