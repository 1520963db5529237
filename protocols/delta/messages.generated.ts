// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface TaskLoss {
  task: string
  loss: number
  samples: number
}

const codecTaskLoss: Codec<TaskLoss, Partial<TaskLoss>> = message<TaskLoss, Partial<TaskLoss>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.task != null && obj.task !== '')) {
    w.uint32(10)
    w.string(obj.task)
  }

  if ((obj.loss != null && obj.loss !== 0)) {
    w.uint32(17)
    w.double(obj.loss)
  }

  if ((obj.samples != null && obj.samples !== 0)) {
    w.uint32(24)
    w.uint32(obj.samples)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    task: '',
    loss: 0,
    samples: 0
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.task = reader.string()
        break
      }
      case 2: {
        obj.loss = reader.double()
        break
      }
      case 3: {
        obj.samples = reader.uint32()
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

export const TaskLoss = {
  codec: (): Codec<TaskLoss, Partial<TaskLoss>> => codecTaskLoss,
  encode: (obj: Partial<TaskLoss>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecTaskLoss),
  decode: (buf: Uint8Array, opts?: DecodeOptions<TaskLoss>): TaskLoss => decodeMessage(buf, codecTaskLoss, opts)
}

export interface BaseEntry {
  key: string
  value: number
}

const codecBaseEntry: Codec<BaseEntry, Partial<BaseEntry>> = message<BaseEntry, Partial<BaseEntry>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.key != null && obj.key !== '')) {
    w.uint32(10)
    w.string(obj.key)
  }

  if ((obj.value != null && obj.value !== 0)) {
    w.uint32(16)
    w.uint32(obj.value)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    key: '',
    value: 0
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.key = reader.string()
        break
      }
      case 2: {
        obj.value = reader.uint32()
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

export const BaseEntry = {
  codec: (): Codec<BaseEntry, Partial<BaseEntry>> => codecBaseEntry,
  encode: (obj: Partial<BaseEntry>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecBaseEntry),
  decode: (buf: Uint8Array, opts?: DecodeOptions<BaseEntry>): BaseEntry => decodeMessage(buf, codecBaseEntry, opts)
}

export interface DeltaManifest {
  host: string
  model: string
  round: number
  base: BaseEntry[]
  codec: string
  bytes: number
  hash: string
  samples: number
  clients: number
  losses: TaskLoss[]
  norm: number
  history?: string
}

const codecDeltaManifest: Codec<DeltaManifest, Partial<DeltaManifest>> = message<DeltaManifest, Partial<DeltaManifest>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.host != null && obj.host !== '')) {
    w.uint32(10)
    w.string(obj.host)
  }

  if ((obj.model != null && obj.model !== '')) {
    w.uint32(18)
    w.string(obj.model)
  }

  if ((obj.round != null && obj.round !== 0)) {
    w.uint32(24)
    w.uint32(obj.round)
  }

  if (obj.base != null && obj.base.length > 0) {
    for (const value of obj.base) {
      w.uint32(34)
      BaseEntry.codec().encode(value, w)
    }
  }

  if ((obj.codec != null && obj.codec !== '')) {
    w.uint32(42)
    w.string(obj.codec)
  }

  if ((obj.bytes != null && obj.bytes !== 0)) {
    w.uint32(48)
    w.uint64Number(obj.bytes)
  }

  if ((obj.hash != null && obj.hash !== '')) {
    w.uint32(58)
    w.string(obj.hash)
  }

  if ((obj.samples != null && obj.samples !== 0)) {
    w.uint32(64)
    w.uint32(obj.samples)
  }

  if ((obj.clients != null && obj.clients !== 0)) {
    w.uint32(72)
    w.uint32(obj.clients)
  }

  if (obj.losses != null && obj.losses.length > 0) {
    for (const value of obj.losses) {
      w.uint32(82)
      TaskLoss.codec().encode(value, w)
    }
  }

  if ((obj.norm != null && obj.norm !== 0)) {
    w.uint32(89)
    w.double(obj.norm)
  }

  if (obj.history != null) {
    w.uint32(98)
    w.string(obj.history)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    host: '',
    model: '',
    round: 0,
    base: [],
    codec: '',
    bytes: 0,
    hash: '',
    samples: 0,
    clients: 0,
    losses: [],
    norm: 0
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
        obj.model = reader.string()
        break
      }
      case 3: {
        obj.round = reader.uint32()
        break
      }
      case 4: {
        if (opts.limits?.base != null && obj.base.length === opts.limits.base) {
          throw new MaxLengthError('Decode error - repeated field "base" had too many elements')
        }

        obj.base.push(BaseEntry.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.base$
        }))
        break
      }
      case 5: {
        obj.codec = reader.string()
        break
      }
      case 6: {
        obj.bytes = reader.uint64Number()
        break
      }
      case 7: {
        obj.hash = reader.string()
        break
      }
      case 8: {
        obj.samples = reader.uint32()
        break
      }
      case 9: {
        obj.clients = reader.uint32()
        break
      }
      case 10: {
        if (opts.limits?.losses != null && obj.losses.length === opts.limits.losses) {
          throw new MaxLengthError('Decode error - repeated field "losses" had too many elements')
        }

        obj.losses.push(TaskLoss.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.losses$
        }))
        break
      }
      case 11: {
        obj.norm = reader.double()
        break
      }
      case 12: {
        obj.history = reader.string()
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

export const DeltaManifest = {
  codec: (): Codec<DeltaManifest, Partial<DeltaManifest>> => codecDeltaManifest,
  encode: (obj: Partial<DeltaManifest>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecDeltaManifest),
  decode: (buf: Uint8Array, opts?: DecodeOptions<DeltaManifest>): DeltaManifest => decodeMessage(buf, codecDeltaManifest, opts)
}

export interface DeltaAnnouncement {
  manifest?: DeltaManifest
  payload?: Uint8Array
}

const codecDeltaAnnouncement: Codec<DeltaAnnouncement, Partial<DeltaAnnouncement>> = message<DeltaAnnouncement, Partial<DeltaAnnouncement>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if (obj.manifest != null) {
    w.uint32(10)
    DeltaManifest.codec().encode(obj.manifest, w)
  }

  if (obj.payload != null) {
    w.uint32(18)
    w.bytes(obj.payload)
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
        obj.manifest = DeltaManifest.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.manifest
        })
        break
      }
      case 2: {
        obj.payload = reader.bytes()
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

export const DeltaAnnouncement = {
  codec: (): Codec<DeltaAnnouncement, Partial<DeltaAnnouncement>> => codecDeltaAnnouncement,
  encode: (obj: Partial<DeltaAnnouncement>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecDeltaAnnouncement),
  decode: (buf: Uint8Array, opts?: DecodeOptions<DeltaAnnouncement>): DeltaAnnouncement => decodeMessage(buf, codecDeltaAnnouncement, opts)
}
