// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface AffinityRow {
  site: string
  charter: string
  tasks: string[]
  sums: Uint8Array
  counts: Uint8Array
}

const codecAffinityRow: Codec<AffinityRow, Partial<AffinityRow>> = message<AffinityRow, Partial<AffinityRow>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.site != null && obj.site !== '')) {
    w.uint32(10)
    w.string(obj.site)
  }

  if ((obj.charter != null && obj.charter !== '')) {
    w.uint32(18)
    w.string(obj.charter)
  }

  if (obj.tasks != null && obj.tasks.length > 0) {
    for (const value of obj.tasks) {
      w.uint32(26)
      w.string(value)
    }
  }

  if ((obj.sums != null && obj.sums.byteLength > 0)) {
    w.uint32(34)
    w.bytes(obj.sums)
  }

  if ((obj.counts != null && obj.counts.byteLength > 0)) {
    w.uint32(42)
    w.bytes(obj.counts)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    site: '',
    charter: '',
    tasks: [],
    sums: new Uint8Array(0),
    counts: new Uint8Array(0)
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.site = reader.string()
        break
      }
      case 2: {
        obj.charter = reader.string()
        break
      }
      case 3: {
        if (opts.limits?.tasks != null && obj.tasks.length === opts.limits.tasks) {
          throw new MaxLengthError('Decode error - repeated field "tasks" had too many elements')
        }

        obj.tasks.push(reader.string())
        break
      }
      case 4: {
        obj.sums = reader.bytes()
        break
      }
      case 5: {
        obj.counts = reader.bytes()
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

export const AffinityRow = {
  codec: (): Codec<AffinityRow, Partial<AffinityRow>> => codecAffinityRow,
  encode: (obj: Partial<AffinityRow>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecAffinityRow),
  decode: (buf: Uint8Array, opts?: DecodeOptions<AffinityRow>): AffinityRow => decodeMessage(buf, codecAffinityRow, opts)
}

export interface AffinityRoll {
  charter: string
  clients: string[]
}

const codecAffinityRoll: Codec<AffinityRoll, Partial<AffinityRoll>> = message<AffinityRoll, Partial<AffinityRoll>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.charter != null && obj.charter !== '')) {
    w.uint32(10)
    w.string(obj.charter)
  }

  if (obj.clients != null && obj.clients.length > 0) {
    for (const value of obj.clients) {
      w.uint32(18)
      w.string(value)
    }
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    charter: '',
    clients: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.charter = reader.string()
        break
      }
      case 2: {
        if (opts.limits?.clients != null && obj.clients.length === opts.limits.clients) {
          throw new MaxLengthError('Decode error - repeated field "clients" had too many elements')
        }

        obj.clients.push(reader.string())
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

export const AffinityRoll = {
  codec: (): Codec<AffinityRoll, Partial<AffinityRoll>> => codecAffinityRoll,
  encode: (obj: Partial<AffinityRoll>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecAffinityRoll),
  decode: (buf: Uint8Array, opts?: DecodeOptions<AffinityRoll>): AffinityRoll => decodeMessage(buf, codecAffinityRoll, opts)
}

export interface RowReference {
  site: string
  hash: string
  bytes: number
}

const codecRowReference: Codec<RowReference, Partial<RowReference>> = message<RowReference, Partial<RowReference>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.site != null && obj.site !== '')) {
    w.uint32(10)
    w.string(obj.site)
  }

  if ((obj.hash != null && obj.hash !== '')) {
    w.uint32(18)
    w.string(obj.hash)
  }

  if ((obj.bytes != null && obj.bytes !== 0)) {
    w.uint32(24)
    w.uint32(obj.bytes)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    site: '',
    hash: '',
    bytes: 0
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.site = reader.string()
        break
      }
      case 2: {
        obj.hash = reader.string()
        break
      }
      case 3: {
        obj.bytes = reader.uint32()
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

export const RowReference = {
  codec: (): Codec<RowReference, Partial<RowReference>> => codecRowReference,
  encode: (obj: Partial<RowReference>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecRowReference),
  decode: (buf: Uint8Array, opts?: DecodeOptions<RowReference>): RowReference => decodeMessage(buf, codecRowReference, opts)
}

export interface AffinityClaim {
  charter: string
  partition: string
  rows: RowReference[]
}

const codecAffinityClaim: Codec<AffinityClaim, Partial<AffinityClaim>> = message<AffinityClaim, Partial<AffinityClaim>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.charter != null && obj.charter !== '')) {
    w.uint32(10)
    w.string(obj.charter)
  }

  if ((obj.partition != null && obj.partition !== '')) {
    w.uint32(18)
    w.string(obj.partition)
  }

  if (obj.rows != null && obj.rows.length > 0) {
    for (const value of obj.rows) {
      w.uint32(26)
      RowReference.codec().encode(value, w)
    }
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    charter: '',
    partition: '',
    rows: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.charter = reader.string()
        break
      }
      case 2: {
        obj.partition = reader.string()
        break
      }
      case 3: {
        if (opts.limits?.rows != null && obj.rows.length === opts.limits.rows) {
          throw new MaxLengthError('Decode error - repeated field "rows" had too many elements')
        }

        obj.rows.push(RowReference.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.rows$
        }))
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

export const AffinityClaim = {
  codec: (): Codec<AffinityClaim, Partial<AffinityClaim>> => codecAffinityClaim,
  encode: (obj: Partial<AffinityClaim>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecAffinityClaim),
  decode: (buf: Uint8Array, opts?: DecodeOptions<AffinityClaim>): AffinityClaim => decodeMessage(buf, codecAffinityClaim, opts)
}

export interface AffinityMessage {
  row?: AffinityRow
  roll?: AffinityRoll
  claim?: AffinityClaim
}

const codecAffinityMessage: Codec<AffinityMessage, Partial<AffinityMessage>> = message<AffinityMessage, Partial<AffinityMessage>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if (obj.row != null) {
    w.uint32(10)
    AffinityRow.codec().encode(obj.row, w)
  }

  if (obj.roll != null) {
    w.uint32(18)
    AffinityRoll.codec().encode(obj.roll, w)
  }

  if (obj.claim != null) {
    w.uint32(26)
    AffinityClaim.codec().encode(obj.claim, w)
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
        obj.row = AffinityRow.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.row
        })
        break
      }
      case 2: {
        obj.roll = AffinityRoll.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.roll
        })
        break
      }
      case 3: {
        obj.claim = AffinityClaim.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.claim
        })
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

export const AffinityMessage = {
  codec: (): Codec<AffinityMessage, Partial<AffinityMessage>> => codecAffinityMessage,
  encode: (obj: Partial<AffinityMessage>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecAffinityMessage),
  decode: (buf: Uint8Array, opts?: DecodeOptions<AffinityMessage>): AffinityMessage => decodeMessage(buf, codecAffinityMessage, opts)
}
