// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface ReachRequest {
  ports: number[]
}

const codecReachRequest: Codec<ReachRequest, Partial<ReachRequest>> = message<ReachRequest, Partial<ReachRequest>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if (obj.ports != null && obj.ports.length > 0) {
    for (const value of obj.ports) {
      w.uint32(8)
      w.uint32(value)
    }
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    ports: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        if (opts.limits?.ports != null && obj.ports.length === opts.limits.ports) {
          throw new MaxLengthError('Decode error - repeated field "ports" had too many elements')
        }

        obj.ports.push(reader.uint32())
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

export const ReachRequest = {
  codec: (): Codec<ReachRequest, Partial<ReachRequest>> => codecReachRequest,
  encode: (obj: Partial<ReachRequest>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecReachRequest),
  decode: (buf: Uint8Array, opts?: DecodeOptions<ReachRequest>): ReachRequest => decodeMessage(buf, codecReachRequest, opts)
}

export interface ReachResponse {
  host: string
  reached: number[]
  code?: string
  reason?: string
}

const codecReachResponse: Codec<ReachResponse, Partial<ReachResponse>> = message<ReachResponse, Partial<ReachResponse>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.host != null && obj.host !== '')) {
    w.uint32(10)
    w.string(obj.host)
  }

  if (obj.reached != null && obj.reached.length > 0) {
    for (const value of obj.reached) {
      w.uint32(16)
      w.uint32(value)
    }
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
  const obj: any = {
    host: '',
    reached: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.host = reader.string()
        break
      }
      case 2: {
        if (opts.limits?.reached != null && obj.reached.length === opts.limits.reached) {
          throw new MaxLengthError('Decode error - repeated field "reached" had too many elements')
        }

        obj.reached.push(reader.uint32())
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

export const ReachResponse = {
  codec: (): Codec<ReachResponse, Partial<ReachResponse>> => codecReachResponse,
  encode: (obj: Partial<ReachResponse>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecReachResponse),
  decode: (buf: Uint8Array, opts?: DecodeOptions<ReachResponse>): ReachResponse => decodeMessage(buf, codecReachResponse, opts)
}
