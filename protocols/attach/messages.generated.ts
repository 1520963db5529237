// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface AttachRequest {
  client: string
  name: string
  model: string
  tasks: string[]
  cut: number[]
  samples: number
  batch: number
  resume?: string
}

const codecAttachRequest: Codec<AttachRequest, Partial<AttachRequest>> = message<AttachRequest, Partial<AttachRequest>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.client != null && obj.client !== '')) {
    w.uint32(10)
    w.string(obj.client)
  }

  if ((obj.name != null && obj.name !== '')) {
    w.uint32(18)
    w.string(obj.name)
  }

  if ((obj.model != null && obj.model !== '')) {
    w.uint32(26)
    w.string(obj.model)
  }

  if (obj.tasks != null && obj.tasks.length > 0) {
    for (const value of obj.tasks) {
      w.uint32(34)
      w.string(value)
    }
  }

  if (obj.cut != null && obj.cut.length > 0) {
    for (const value of obj.cut) {
      w.uint32(40)
      w.uint32(value)
    }
  }

  if ((obj.samples != null && obj.samples !== 0)) {
    w.uint32(48)
    w.uint32(obj.samples)
  }

  if ((obj.batch != null && obj.batch !== 0)) {
    w.uint32(56)
    w.uint32(obj.batch)
  }

  if (obj.resume != null) {
    w.uint32(66)
    w.string(obj.resume)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    client: '',
    name: '',
    model: '',
    tasks: [],
    cut: [],
    samples: 0,
    batch: 0
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.client = reader.string()
        break
      }
      case 2: {
        obj.name = reader.string()
        break
      }
      case 3: {
        obj.model = reader.string()
        break
      }
      case 4: {
        if (opts.limits?.tasks != null && obj.tasks.length === opts.limits.tasks) {
          throw new MaxLengthError('Decode error - repeated field "tasks" had too many elements')
        }

        obj.tasks.push(reader.string())
        break
      }
      case 5: {
        if (opts.limits?.cut != null && obj.cut.length === opts.limits.cut) {
          throw new MaxLengthError('Decode error - repeated field "cut" had too many elements')
        }

        obj.cut.push(reader.uint32())
        break
      }
      case 6: {
        obj.samples = reader.uint32()
        break
      }
      case 7: {
        obj.batch = reader.uint32()
        break
      }
      case 8: {
        obj.resume = reader.string()
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

export const AttachRequest = {
  codec: (): Codec<AttachRequest, Partial<AttachRequest>> => codecAttachRequest,
  encode: (obj: Partial<AttachRequest>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecAttachRequest),
  decode: (buf: Uint8Array, opts?: DecodeOptions<AttachRequest>): AttachRequest => decodeMessage(buf, codecAttachRequest, opts)
}

export interface Admission {
  session: string
  step: number
  version: number
  credits: number
  maxBatch: number
}

const codecAdmission: Codec<Admission, Partial<Admission>> = message<Admission, Partial<Admission>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.session != null && obj.session !== '')) {
    w.uint32(10)
    w.string(obj.session)
  }

  if ((obj.step != null && obj.step !== 0)) {
    w.uint32(16)
    w.uint32(obj.step)
  }

  if ((obj.version != null && obj.version !== 0)) {
    w.uint32(24)
    w.uint32(obj.version)
  }

  if ((obj.credits != null && obj.credits !== 0)) {
    w.uint32(32)
    w.uint32(obj.credits)
  }

  if ((obj.maxBatch != null && obj.maxBatch !== 0)) {
    w.uint32(40)
    w.uint32(obj.maxBatch)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    session: '',
    step: 0,
    version: 0,
    credits: 0,
    maxBatch: 0
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.session = reader.string()
        break
      }
      case 2: {
        obj.step = reader.uint32()
        break
      }
      case 3: {
        obj.version = reader.uint32()
        break
      }
      case 4: {
        obj.credits = reader.uint32()
        break
      }
      case 5: {
        obj.maxBatch = reader.uint32()
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

export const Admission = {
  codec: (): Codec<Admission, Partial<Admission>> => codecAdmission,
  encode: (obj: Partial<Admission>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecAdmission),
  decode: (buf: Uint8Array, opts?: DecodeOptions<Admission>): Admission => decodeMessage(buf, codecAdmission, opts)
}

export interface AttachResponse {
  admission?: Admission
  code?: string
  reason?: string
}

const codecAttachResponse: Codec<AttachResponse, Partial<AttachResponse>> = message<AttachResponse, Partial<AttachResponse>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if (obj.admission != null) {
    w.uint32(10)
    Admission.codec().encode(obj.admission, w)
  }

  if (obj.code != null) {
    w.uint32(18)
    w.string(obj.code)
  }

  if (obj.reason != null) {
    w.uint32(26)
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
        obj.admission = Admission.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.admission
        })
        break
      }
      case 2: {
        obj.code = reader.string()
        break
      }
      case 3: {
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

export const AttachResponse = {
  codec: (): Codec<AttachResponse, Partial<AttachResponse>> => codecAttachResponse,
  encode: (obj: Partial<AttachResponse>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecAttachResponse),
  decode: (buf: Uint8Array, opts?: DecodeOptions<AttachResponse>): AttachResponse => decodeMessage(buf, codecAttachResponse, opts)
}
