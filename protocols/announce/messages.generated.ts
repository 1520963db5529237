// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface HostCard {
  host: string
  name: string
  backend: string
  samplesPerSecond: number
  memoryBytes: number
  attached: number
  slots: number
  model: string
  round: number
  step: number
  addresses: string[]
  sentAt: number
}

const codecHostCard: Codec<HostCard, Partial<HostCard>> = message<HostCard, Partial<HostCard>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.host != null && obj.host !== '')) {
    w.uint32(10)
    w.string(obj.host)
  }

  if ((obj.name != null && obj.name !== '')) {
    w.uint32(18)
    w.string(obj.name)
  }

  if ((obj.backend != null && obj.backend !== '')) {
    w.uint32(26)
    w.string(obj.backend)
  }

  if ((obj.samplesPerSecond != null && obj.samplesPerSecond !== 0)) {
    w.uint32(33)
    w.double(obj.samplesPerSecond)
  }

  if ((obj.memoryBytes != null && obj.memoryBytes !== 0)) {
    w.uint32(40)
    w.uint64Number(obj.memoryBytes)
  }

  if ((obj.attached != null && obj.attached !== 0)) {
    w.uint32(48)
    w.uint32(obj.attached)
  }

  if ((obj.slots != null && obj.slots !== 0)) {
    w.uint32(56)
    w.uint32(obj.slots)
  }

  if ((obj.model != null && obj.model !== '')) {
    w.uint32(66)
    w.string(obj.model)
  }

  if ((obj.round != null && obj.round !== 0)) {
    w.uint32(72)
    w.uint32(obj.round)
  }

  if ((obj.step != null && obj.step !== 0)) {
    w.uint32(80)
    w.uint32(obj.step)
  }

  if (obj.addresses != null && obj.addresses.length > 0) {
    for (const value of obj.addresses) {
      w.uint32(90)
      w.string(value)
    }
  }

  if ((obj.sentAt != null && obj.sentAt !== 0)) {
    w.uint32(96)
    w.uint64Number(obj.sentAt)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    host: '',
    name: '',
    backend: '',
    samplesPerSecond: 0,
    memoryBytes: 0,
    attached: 0,
    slots: 0,
    model: '',
    round: 0,
    step: 0,
    addresses: [],
    sentAt: 0
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
        obj.name = reader.string()
        break
      }
      case 3: {
        obj.backend = reader.string()
        break
      }
      case 4: {
        obj.samplesPerSecond = reader.double()
        break
      }
      case 5: {
        obj.memoryBytes = reader.uint64Number()
        break
      }
      case 6: {
        obj.attached = reader.uint32()
        break
      }
      case 7: {
        obj.slots = reader.uint32()
        break
      }
      case 8: {
        obj.model = reader.string()
        break
      }
      case 9: {
        obj.round = reader.uint32()
        break
      }
      case 10: {
        obj.step = reader.uint32()
        break
      }
      case 11: {
        if (opts.limits?.addresses != null && obj.addresses.length === opts.limits.addresses) {
          throw new MaxLengthError('Decode error - repeated field "addresses" had too many elements')
        }

        obj.addresses.push(reader.string())
        break
      }
      case 12: {
        obj.sentAt = reader.uint64Number()
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

export const HostCard = {
  codec: (): Codec<HostCard, Partial<HostCard>> => codecHostCard,
  encode: (obj: Partial<HostCard>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecHostCard),
  decode: (buf: Uint8Array, opts?: DecodeOptions<HostCard>): HostCard => decodeMessage(buf, codecHostCard, opts)
}
