// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface CardTask {
  id: string
  classes: number
  space: string
}

const codecCardTask: Codec<CardTask, Partial<CardTask>> = message<CardTask, Partial<CardTask>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.id != null && obj.id !== '')) {
    w.uint32(10)
    w.string(obj.id)
  }

  if ((obj.classes != null && obj.classes !== 0)) {
    w.uint32(16)
    w.uint32(obj.classes)
  }

  if ((obj.space != null && obj.space !== '')) {
    w.uint32(26)
    w.string(obj.space)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    id: '',
    classes: 0,
    space: ''
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.id = reader.string()
        break
      }
      case 2: {
        obj.classes = reader.uint32()
        break
      }
      case 3: {
        obj.space = reader.string()
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

export const CardTask = {
  codec: (): Codec<CardTask, Partial<CardTask>> => codecCardTask,
  encode: (obj: Partial<CardTask>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecCardTask),
  decode: (buf: Uint8Array, opts?: DecodeOptions<CardTask>): CardTask => decodeMessage(buf, codecCardTask, opts)
}

export interface BenchCard {
  peer: string
  name: string
  charter: string
  modelId: string
  version: number
  arch: string
  parameters: number
  bytes: number
  sha256: string
  tasks: CardTask[]
  valAccuracy?: number
  addresses: string[]
}

const codecBenchCard: Codec<BenchCard, Partial<BenchCard>> = message<BenchCard, Partial<BenchCard>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.peer != null && obj.peer !== '')) {
    w.uint32(10)
    w.string(obj.peer)
  }

  if ((obj.name != null && obj.name !== '')) {
    w.uint32(18)
    w.string(obj.name)
  }

  if ((obj.charter != null && obj.charter !== '')) {
    w.uint32(26)
    w.string(obj.charter)
  }

  if ((obj.modelId != null && obj.modelId !== '')) {
    w.uint32(34)
    w.string(obj.modelId)
  }

  if ((obj.version != null && obj.version !== 0)) {
    w.uint32(40)
    w.uint32(obj.version)
  }

  if ((obj.arch != null && obj.arch !== '')) {
    w.uint32(50)
    w.string(obj.arch)
  }

  if ((obj.parameters != null && obj.parameters !== 0)) {
    w.uint32(56)
    w.uint64Number(obj.parameters)
  }

  if ((obj.bytes != null && obj.bytes !== 0)) {
    w.uint32(64)
    w.uint64Number(obj.bytes)
  }

  if ((obj.sha256 != null && obj.sha256 !== '')) {
    w.uint32(74)
    w.string(obj.sha256)
  }

  if (obj.tasks != null && obj.tasks.length > 0) {
    for (const value of obj.tasks) {
      w.uint32(82)
      CardTask.codec().encode(value, w)
    }
  }

  if (obj.valAccuracy != null) {
    w.uint32(89)
    w.double(obj.valAccuracy)
  }

  if (obj.addresses != null && obj.addresses.length > 0) {
    for (const value of obj.addresses) {
      w.uint32(98)
      w.string(value)
    }
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    peer: '',
    name: '',
    charter: '',
    modelId: '',
    version: 0,
    arch: '',
    parameters: 0,
    bytes: 0,
    sha256: '',
    tasks: [],
    addresses: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.peer = reader.string()
        break
      }
      case 2: {
        obj.name = reader.string()
        break
      }
      case 3: {
        obj.charter = reader.string()
        break
      }
      case 4: {
        obj.modelId = reader.string()
        break
      }
      case 5: {
        obj.version = reader.uint32()
        break
      }
      case 6: {
        obj.arch = reader.string()
        break
      }
      case 7: {
        obj.parameters = reader.uint64Number()
        break
      }
      case 8: {
        obj.bytes = reader.uint64Number()
        break
      }
      case 9: {
        obj.sha256 = reader.string()
        break
      }
      case 10: {
        if (opts.limits?.tasks != null && obj.tasks.length === opts.limits.tasks) {
          throw new MaxLengthError('Decode error - repeated field "tasks" had too many elements')
        }

        obj.tasks.push(CardTask.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.tasks$
        }))
        break
      }
      case 11: {
        obj.valAccuracy = reader.double()
        break
      }
      case 12: {
        if (opts.limits?.addresses != null && obj.addresses.length === opts.limits.addresses) {
          throw new MaxLengthError('Decode error - repeated field "addresses" had too many elements')
        }

        obj.addresses.push(reader.string())
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

export const BenchCard = {
  codec: (): Codec<BenchCard, Partial<BenchCard>> => codecBenchCard,
  encode: (obj: Partial<BenchCard>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecBenchCard),
  decode: (buf: Uint8Array, opts?: DecodeOptions<BenchCard>): BenchCard => decodeMessage(buf, codecBenchCard, opts)
}
