// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface Beat {
  name: string
  digest: string
  charter: string
  heads: string[]
  addresses: string[]
  sentAt: number
  round: number
  entries: Uint8Array[]
}

const codecBeat: Codec<Beat, Partial<Beat>> = message<Beat, Partial<Beat>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.name != null && obj.name !== '')) {
    w.uint32(10)
    w.string(obj.name)
  }

  if ((obj.digest != null && obj.digest !== '')) {
    w.uint32(18)
    w.string(obj.digest)
  }

  if ((obj.charter != null && obj.charter !== '')) {
    w.uint32(26)
    w.string(obj.charter)
  }

  if (obj.heads != null && obj.heads.length > 0) {
    for (const value of obj.heads) {
      w.uint32(34)
      w.string(value)
    }
  }

  if (obj.addresses != null && obj.addresses.length > 0) {
    for (const value of obj.addresses) {
      w.uint32(42)
      w.string(value)
    }
  }

  if ((obj.sentAt != null && obj.sentAt !== 0)) {
    w.uint32(48)
    w.uint64Number(obj.sentAt)
  }

  if ((obj.round != null && obj.round !== 0)) {
    w.uint32(56)
    w.uint32(obj.round)
  }

  if (obj.entries != null && obj.entries.length > 0) {
    for (const value of obj.entries) {
      w.uint32(66)
      w.bytes(value)
    }
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    name: '',
    digest: '',
    charter: '',
    heads: [],
    addresses: [],
    sentAt: 0,
    round: 0,
    entries: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.name = reader.string()
        break
      }
      case 2: {
        obj.digest = reader.string()
        break
      }
      case 3: {
        obj.charter = reader.string()
        break
      }
      case 4: {
        if (opts.limits?.heads != null && obj.heads.length === opts.limits.heads) {
          throw new MaxLengthError('Decode error - repeated field "heads" had too many elements')
        }

        obj.heads.push(reader.string())
        break
      }
      case 5: {
        if (opts.limits?.addresses != null && obj.addresses.length === opts.limits.addresses) {
          throw new MaxLengthError('Decode error - repeated field "addresses" had too many elements')
        }

        obj.addresses.push(reader.string())
        break
      }
      case 6: {
        obj.sentAt = reader.uint64Number()
        break
      }
      case 7: {
        obj.round = reader.uint32()
        break
      }
      case 8: {
        if (opts.limits?.entries != null && obj.entries.length === opts.limits.entries) {
          throw new MaxLengthError('Decode error - repeated field "entries" had too many elements')
        }

        obj.entries.push(reader.bytes())
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

export const Beat = {
  codec: (): Codec<Beat, Partial<Beat>> => codecBeat,
  encode: (obj: Partial<Beat>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecBeat),
  decode: (buf: Uint8Array, opts?: DecodeOptions<Beat>): Beat => decodeMessage(buf, codecBeat, opts)
}

export interface SyncRequest {
  consortium: string
  heads: string[]
  skip: number
}

const codecSyncRequest: Codec<SyncRequest, Partial<SyncRequest>> = message<SyncRequest, Partial<SyncRequest>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.consortium != null && obj.consortium !== '')) {
    w.uint32(10)
    w.string(obj.consortium)
  }

  if (obj.heads != null && obj.heads.length > 0) {
    for (const value of obj.heads) {
      w.uint32(18)
      w.string(value)
    }
  }

  if ((obj.skip != null && obj.skip !== 0)) {
    w.uint32(24)
    w.uint32(obj.skip)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    consortium: '',
    heads: [],
    skip: 0
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.consortium = reader.string()
        break
      }
      case 2: {
        if (opts.limits?.heads != null && obj.heads.length === opts.limits.heads) {
          throw new MaxLengthError('Decode error - repeated field "heads" had too many elements')
        }

        obj.heads.push(reader.string())
        break
      }
      case 3: {
        obj.skip = reader.uint32()
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

export const SyncRequest = {
  codec: (): Codec<SyncRequest, Partial<SyncRequest>> => codecSyncRequest,
  encode: (obj: Partial<SyncRequest>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecSyncRequest),
  decode: (buf: Uint8Array, opts?: DecodeOptions<SyncRequest>): SyncRequest => decodeMessage(buf, codecSyncRequest, opts)
}

export interface SyncResponse {
  entries: Uint8Array[]
  more: boolean
  heads: string[]
  code?: string
  reason?: string
}

const codecSyncResponse: Codec<SyncResponse, Partial<SyncResponse>> = message<SyncResponse, Partial<SyncResponse>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if (obj.entries != null && obj.entries.length > 0) {
    for (const value of obj.entries) {
      w.uint32(10)
      w.bytes(value)
    }
  }

  if ((obj.more != null && obj.more !== false)) {
    w.uint32(16)
    w.bool(obj.more)
  }

  if (obj.heads != null && obj.heads.length > 0) {
    for (const value of obj.heads) {
      w.uint32(26)
      w.string(value)
    }
  }

  if (obj.code != null) {
    w.uint32(34)
    w.string(obj.code)
  }

  if (obj.reason != null) {
    w.uint32(42)
    w.string(obj.reason)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    entries: [],
    more: false,
    heads: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        if (opts.limits?.entries != null && obj.entries.length === opts.limits.entries) {
          throw new MaxLengthError('Decode error - repeated field "entries" had too many elements')
        }

        obj.entries.push(reader.bytes())
        break
      }
      case 2: {
        obj.more = reader.bool()
        break
      }
      case 3: {
        if (opts.limits?.heads != null && obj.heads.length === opts.limits.heads) {
          throw new MaxLengthError('Decode error - repeated field "heads" had too many elements')
        }

        obj.heads.push(reader.string())
        break
      }
      case 4: {
        obj.code = reader.string()
        break
      }
      case 5: {
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

export const SyncResponse = {
  codec: (): Codec<SyncResponse, Partial<SyncResponse>> => codecSyncResponse,
  encode: (obj: Partial<SyncResponse>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecSyncResponse),
  decode: (buf: Uint8Array, opts?: DecodeOptions<SyncResponse>): SyncResponse => decodeMessage(buf, codecSyncResponse, opts)
}
