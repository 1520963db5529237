// Generated from messages.proto by scripts/proto.ts: do not edit.
// @ts-nocheck
import { decodeMessage, encodeMessage, MaxLengthError, message } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'

export interface TensorHeader {
  name: string
  shape: number[]
  codec: string
  bytes: number
}

const codecTensorHeader: Codec<TensorHeader, Partial<TensorHeader>> = message<TensorHeader, Partial<TensorHeader>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.name != null && obj.name !== '')) {
    w.uint32(10)
    w.string(obj.name)
  }

  if (obj.shape != null && obj.shape.length > 0) {
    for (const value of obj.shape) {
      w.uint32(16)
      w.uint32(value)
    }
  }

  if ((obj.codec != null && obj.codec !== '')) {
    w.uint32(26)
    w.string(obj.codec)
  }

  if ((obj.bytes != null && obj.bytes !== 0)) {
    w.uint32(32)
    w.uint32(obj.bytes)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    name: '',
    shape: [],
    codec: '',
    bytes: 0
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
        if (opts.limits?.shape != null && obj.shape.length === opts.limits.shape) {
          throw new MaxLengthError('Decode error - repeated field "shape" had too many elements')
        }

        obj.shape.push(reader.uint32())
        break
      }
      case 3: {
        obj.codec = reader.string()
        break
      }
      case 4: {
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

export const TensorHeader = {
  codec: (): Codec<TensorHeader, Partial<TensorHeader>> => codecTensorHeader,
  encode: (obj: Partial<TensorHeader>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecTensorHeader),
  decode: (buf: Uint8Array, opts?: DecodeOptions<TensorHeader>): TensorHeader => decodeMessage(buf, codecTensorHeader, opts)
}

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

export interface CandidateScore {
  candidate: string
  loss: number
  samples: number
  difference: number
  standardError: number
}

const codecCandidateScore: Codec<CandidateScore, Partial<CandidateScore>> = message<CandidateScore, Partial<CandidateScore>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.candidate != null && obj.candidate !== '')) {
    w.uint32(10)
    w.string(obj.candidate)
  }

  if ((obj.loss != null && obj.loss !== 0)) {
    w.uint32(17)
    w.double(obj.loss)
  }

  if ((obj.samples != null && obj.samples !== 0)) {
    w.uint32(24)
    w.uint32(obj.samples)
  }

  if ((obj.difference != null && obj.difference !== 0)) {
    w.uint32(33)
    w.double(obj.difference)
  }

  if ((obj.standardError != null && obj.standardError !== 0)) {
    w.uint32(41)
    w.double(obj.standardError)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    candidate: '',
    loss: 0,
    samples: 0,
    difference: 0,
    standardError: 0
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.candidate = reader.string()
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
      case 4: {
        obj.difference = reader.double()
        break
      }
      case 5: {
        obj.standardError = reader.double()
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

export const CandidateScore = {
  codec: (): Codec<CandidateScore, Partial<CandidateScore>> => codecCandidateScore,
  encode: (obj: Partial<CandidateScore>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecCandidateScore),
  decode: (buf: Uint8Array, opts?: DecodeOptions<CandidateScore>): CandidateScore => decodeMessage(buf, codecCandidateScore, opts)
}

export interface RoundReport {
  host: string
  round: number
  steps: number
  seconds: number
  contributors: string[]
  missing: string[]
  pairs: number
  conflictPairs: number
  meanCosine: number
  minCosine: number
  removedShare: number
  minDirectionCosine: number
  minUpdateCosine: number
  merged: string[]
  mergeReason: string
  bytesUp: number
  bytesDown: number
  final: boolean
  fallbacks?: number
  between?: HostConflicts
}

const codecRoundReport: Codec<RoundReport, Partial<RoundReport>> = message<RoundReport, Partial<RoundReport>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.host != null && obj.host !== '')) {
    w.uint32(10)
    w.string(obj.host)
  }

  if ((obj.round != null && obj.round !== 0)) {
    w.uint32(16)
    w.uint32(obj.round)
  }

  if ((obj.steps != null && obj.steps !== 0)) {
    w.uint32(24)
    w.uint32(obj.steps)
  }

  if ((obj.seconds != null && obj.seconds !== 0)) {
    w.uint32(33)
    w.double(obj.seconds)
  }

  if (obj.contributors != null && obj.contributors.length > 0) {
    for (const value of obj.contributors) {
      w.uint32(42)
      w.string(value)
    }
  }

  if (obj.missing != null && obj.missing.length > 0) {
    for (const value of obj.missing) {
      w.uint32(50)
      w.string(value)
    }
  }

  if ((obj.pairs != null && obj.pairs !== 0)) {
    w.uint32(56)
    w.uint32(obj.pairs)
  }

  if ((obj.conflictPairs != null && obj.conflictPairs !== 0)) {
    w.uint32(64)
    w.uint32(obj.conflictPairs)
  }

  if ((obj.meanCosine != null && obj.meanCosine !== 0)) {
    w.uint32(73)
    w.double(obj.meanCosine)
  }

  if ((obj.minCosine != null && obj.minCosine !== 0)) {
    w.uint32(81)
    w.double(obj.minCosine)
  }

  if ((obj.removedShare != null && obj.removedShare !== 0)) {
    w.uint32(89)
    w.double(obj.removedShare)
  }

  if ((obj.minDirectionCosine != null && obj.minDirectionCosine !== 0)) {
    w.uint32(97)
    w.double(obj.minDirectionCosine)
  }

  if ((obj.minUpdateCosine != null && obj.minUpdateCosine !== 0)) {
    w.uint32(105)
    w.double(obj.minUpdateCosine)
  }

  if (obj.merged != null && obj.merged.length > 0) {
    for (const value of obj.merged) {
      w.uint32(114)
      w.string(value)
    }
  }

  if ((obj.mergeReason != null && obj.mergeReason !== '')) {
    w.uint32(122)
    w.string(obj.mergeReason)
  }

  if ((obj.bytesUp != null && obj.bytesUp !== 0)) {
    w.uint32(128)
    w.uint64Number(obj.bytesUp)
  }

  if ((obj.bytesDown != null && obj.bytesDown !== 0)) {
    w.uint32(136)
    w.uint64Number(obj.bytesDown)
  }

  if ((obj.final != null && obj.final !== false)) {
    w.uint32(144)
    w.bool(obj.final)
  }

  if (obj.fallbacks != null) {
    w.uint32(152)
    w.uint32(obj.fallbacks)
  }

  if (obj.between != null) {
    w.uint32(162)
    HostConflicts.codec().encode(obj.between, w)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    host: '',
    round: 0,
    steps: 0,
    seconds: 0,
    contributors: [],
    missing: [],
    pairs: 0,
    conflictPairs: 0,
    meanCosine: 0,
    minCosine: 0,
    removedShare: 0,
    minDirectionCosine: 0,
    minUpdateCosine: 0,
    merged: [],
    mergeReason: '',
    bytesUp: 0,
    bytesDown: 0,
    final: false
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
        obj.round = reader.uint32()
        break
      }
      case 3: {
        obj.steps = reader.uint32()
        break
      }
      case 4: {
        obj.seconds = reader.double()
        break
      }
      case 5: {
        if (opts.limits?.contributors != null && obj.contributors.length === opts.limits.contributors) {
          throw new MaxLengthError('Decode error - repeated field "contributors" had too many elements')
        }

        obj.contributors.push(reader.string())
        break
      }
      case 6: {
        if (opts.limits?.missing != null && obj.missing.length === opts.limits.missing) {
          throw new MaxLengthError('Decode error - repeated field "missing" had too many elements')
        }

        obj.missing.push(reader.string())
        break
      }
      case 7: {
        obj.pairs = reader.uint32()
        break
      }
      case 8: {
        obj.conflictPairs = reader.uint32()
        break
      }
      case 9: {
        obj.meanCosine = reader.double()
        break
      }
      case 10: {
        obj.minCosine = reader.double()
        break
      }
      case 11: {
        obj.removedShare = reader.double()
        break
      }
      case 12: {
        obj.minDirectionCosine = reader.double()
        break
      }
      case 13: {
        obj.minUpdateCosine = reader.double()
        break
      }
      case 14: {
        if (opts.limits?.merged != null && obj.merged.length === opts.limits.merged) {
          throw new MaxLengthError('Decode error - repeated field "merged" had too many elements')
        }

        obj.merged.push(reader.string())
        break
      }
      case 15: {
        obj.mergeReason = reader.string()
        break
      }
      case 16: {
        obj.bytesUp = reader.uint64Number()
        break
      }
      case 17: {
        obj.bytesDown = reader.uint64Number()
        break
      }
      case 18: {
        obj.final = reader.bool()
        break
      }
      case 19: {
        obj.fallbacks = reader.uint32()
        break
      }
      case 20: {
        obj.between = HostConflicts.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.between
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

export const RoundReport = {
  codec: (): Codec<RoundReport, Partial<RoundReport>> => codecRoundReport,
  encode: (obj: Partial<RoundReport>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecRoundReport),
  decode: (buf: Uint8Array, opts?: DecodeOptions<RoundReport>): RoundReport => decodeMessage(buf, codecRoundReport, opts)
}

export interface HostConflicts {
  hosts: number
  pairs: number
  conflictPairs: number
  meanCosine: number
  minCosine: number
  removedShare: number
  minDirectionCosine: number
  fallback?: boolean
}

const codecHostConflicts: Codec<HostConflicts, Partial<HostConflicts>> = message<HostConflicts, Partial<HostConflicts>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.hosts != null && obj.hosts !== 0)) {
    w.uint32(8)
    w.uint32(obj.hosts)
  }

  if ((obj.pairs != null && obj.pairs !== 0)) {
    w.uint32(16)
    w.uint32(obj.pairs)
  }

  if ((obj.conflictPairs != null && obj.conflictPairs !== 0)) {
    w.uint32(24)
    w.uint32(obj.conflictPairs)
  }

  if ((obj.meanCosine != null && obj.meanCosine !== 0)) {
    w.uint32(33)
    w.double(obj.meanCosine)
  }

  if ((obj.minCosine != null && obj.minCosine !== 0)) {
    w.uint32(41)
    w.double(obj.minCosine)
  }

  if ((obj.removedShare != null && obj.removedShare !== 0)) {
    w.uint32(49)
    w.double(obj.removedShare)
  }

  if ((obj.minDirectionCosine != null && obj.minDirectionCosine !== 0)) {
    w.uint32(57)
    w.double(obj.minDirectionCosine)
  }

  if (obj.fallback != null) {
    w.uint32(64)
    w.bool(obj.fallback)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    hosts: 0,
    pairs: 0,
    conflictPairs: 0,
    meanCosine: 0,
    minCosine: 0,
    removedShare: 0,
    minDirectionCosine: 0
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.hosts = reader.uint32()
        break
      }
      case 2: {
        obj.pairs = reader.uint32()
        break
      }
      case 3: {
        obj.conflictPairs = reader.uint32()
        break
      }
      case 4: {
        obj.meanCosine = reader.double()
        break
      }
      case 5: {
        obj.minCosine = reader.double()
        break
      }
      case 6: {
        obj.removedShare = reader.double()
        break
      }
      case 7: {
        obj.minDirectionCosine = reader.double()
        break
      }
      case 8: {
        obj.fallback = reader.bool()
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

export const HostConflicts = {
  codec: (): Codec<HostConflicts, Partial<HostConflicts>> => codecHostConflicts,
  encode: (obj: Partial<HostConflicts>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecHostConflicts),
  decode: (buf: Uint8Array, opts?: DecodeOptions<HostConflicts>): HostConflicts => decodeMessage(buf, codecHostConflicts, opts)
}

export interface Header {
  kind: string
  step: number
  round?: number
  candidate?: string
  tensors: TensorHeader[]
  losses: TaskLoss[]
  scores: CandidateScore[]
  report?: RoundReport
  code?: string
  reason?: string
  session?: string
  codec?: string
}

const codecHeader: Codec<Header, Partial<Header>> = message<Header, Partial<Header>>((obj, w, opts = {}) => {
  if (opts.lengthDelimited !== false) {
    w.fork()
  }

  if ((obj.kind != null && obj.kind !== '')) {
    w.uint32(10)
    w.string(obj.kind)
  }

  if ((obj.step != null && obj.step !== 0)) {
    w.uint32(16)
    w.uint32(obj.step)
  }

  if (obj.round != null) {
    w.uint32(24)
    w.uint32(obj.round)
  }

  if (obj.candidate != null) {
    w.uint32(34)
    w.string(obj.candidate)
  }

  if (obj.tensors != null && obj.tensors.length > 0) {
    for (const value of obj.tensors) {
      w.uint32(42)
      TensorHeader.codec().encode(value, w)
    }
  }

  if (obj.losses != null && obj.losses.length > 0) {
    for (const value of obj.losses) {
      w.uint32(50)
      TaskLoss.codec().encode(value, w)
    }
  }

  if (obj.scores != null && obj.scores.length > 0) {
    for (const value of obj.scores) {
      w.uint32(58)
      CandidateScore.codec().encode(value, w)
    }
  }

  if (obj.report != null) {
    w.uint32(66)
    RoundReport.codec().encode(obj.report, w)
  }

  if (obj.code != null) {
    w.uint32(74)
    w.string(obj.code)
  }

  if (obj.reason != null) {
    w.uint32(82)
    w.string(obj.reason)
  }

  if (obj.session != null) {
    w.uint32(90)
    w.string(obj.session)
  }

  if (obj.codec != null) {
    w.uint32(98)
    w.string(obj.codec)
  }

  if (opts.lengthDelimited !== false) {
    w.ldelim()
  }
}, (reader, length, opts = {}) => {
  const obj: any = {
    kind: '',
    step: 0,
    tensors: [],
    losses: [],
    scores: []
  }

  const end = length == null ? reader.len : reader.pos + length

  while (reader.pos < end) {
    const tag = reader.uint32()

    switch (tag >>> 3) {
      case 1: {
        obj.kind = reader.string()
        break
      }
      case 2: {
        obj.step = reader.uint32()
        break
      }
      case 3: {
        obj.round = reader.uint32()
        break
      }
      case 4: {
        obj.candidate = reader.string()
        break
      }
      case 5: {
        if (opts.limits?.tensors != null && obj.tensors.length === opts.limits.tensors) {
          throw new MaxLengthError('Decode error - repeated field "tensors" had too many elements')
        }

        obj.tensors.push(TensorHeader.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.tensors$
        }))
        break
      }
      case 6: {
        if (opts.limits?.losses != null && obj.losses.length === opts.limits.losses) {
          throw new MaxLengthError('Decode error - repeated field "losses" had too many elements')
        }

        obj.losses.push(TaskLoss.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.losses$
        }))
        break
      }
      case 7: {
        if (opts.limits?.scores != null && obj.scores.length === opts.limits.scores) {
          throw new MaxLengthError('Decode error - repeated field "scores" had too many elements')
        }

        obj.scores.push(CandidateScore.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.scores$
        }))
        break
      }
      case 8: {
        obj.report = RoundReport.codec().decode(reader, reader.uint32(), {
          limits: opts.limits?.report
        })
        break
      }
      case 9: {
        obj.code = reader.string()
        break
      }
      case 10: {
        obj.reason = reader.string()
        break
      }
      case 11: {
        obj.session = reader.string()
        break
      }
      case 12: {
        obj.codec = reader.string()
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

export const Header = {
  codec: (): Codec<Header, Partial<Header>> => codecHeader,
  encode: (obj: Partial<Header>): Uint8Array<ArrayBuffer> => encodeMessage(obj, codecHeader),
  decode: (buf: Uint8Array, opts?: DecodeOptions<Header>): Header => decodeMessage(buf, codecHeader, opts)
}
