/**
 * Split-step messages: Frame <-> bytes. Wire format: ./README.md.
 *
 *     [u32 LE header length][header][zeros to a multiple of 4][tensor][zeros to 4][tensor] ...
 *
 * Received float32 tensors are views of the message, which nobody else holds.
 */
import { CLIENT_FRAMES, HOST_FRAMES } from '../../src/backbone/frames.ts'
import { CODECS } from '../../src/compression/index.ts'
import { DecodeError } from '../../src/errors.ts'
import { elements } from '../../src/tensor/tensor.ts'
import {
  MAX_FRAME_BYTES, MAX_HEADER_BYTES, MAX_PEERS, MAX_RANK, MAX_REASONS, MAX_TASKS, MAX_TENSOR_NAME_BYTES, MAX_TENSORS
} from '../limits.ts'
import { amount, atMost, checked, clip, number, parse, tensorName, text, texts, whole } from '../wire.ts'
import * as pb from './messages.generated.ts'
import type { CandidateScore, Frame, FrameKind, HostConflicts, RoundReport, TaskLoss } from '../../src/backbone/frames.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

/** How floats become bytes and back: src/compression, or a stub. `decode` refuses what it cannot read with DecodeError. */
export interface TensorCodec {
  encode (codec: CodecName, data: Float32Array): Uint8Array
  decode (codec: CodecName, bytes: Uint8Array, elements: number): Float32Array
  encodedBytes (codec: CodecName, elements: number): number
}

/** What the two ends say besides frames: opening, its answer, and the end with its reason. */
export type Control =
  | { readonly control: 'open', readonly session: string, readonly codec: CodecName }
  | { readonly control: 'accepted' }
  | { readonly control: 'declined', readonly code: string, readonly reason: string }
  | { readonly control: 'bye', readonly code?: string, readonly reason?: string }

export type Message = Frame | Control

export interface DecodeInit {
  tensors: TensorCodec
  /** NaN and Infinity in tensors: refused by default. */
  allowNonFinite?: boolean
}

const U32 = 0xffffffff
/** Zeros between tensors, at most 3. */
const GAP = new Uint8Array(3)
const KINDS: ReadonlySet<string> = new Set([...CLIENT_FRAMES, ...HOST_FRAMES])
const CONTROLS: ReadonlySet<string> = new Set(['open', 'accepted', 'declined', 'bye'])
const CODEC_NAMES: ReadonlySet<string> = new Set(CODECS)
const LIMITS = {
  tensors: MAX_TENSORS,
  tensors$: { shape: MAX_RANK },
  losses: MAX_TASKS,
  scores: MAX_TASKS,
  report: { contributors: MAX_PEERS, missing: MAX_REASONS, merged: MAX_PEERS }
}

export function isControl (message: Message): message is Control {
  return 'control' in message
}

/**
 * @returns the message in parts, to be sent one after the other; float32 tensors are parts of their own, not copied
 * @throws {InvalidParametersError} the frame breaks a limit that the other end would refuse it for
 */
export function encodeFrame (frame: Frame, channelCodec: CodecName, tensors: TensorCodec): Uint8Array[] {
  return checked(`a '${frame.kind}' frame`, () => {
    const codec = frame.codec ?? channelCodec
    const payloads = frame.tensors.map(({ tensor }) => codec === 'f32' ? bytesOf(tensor.data) : tensors.encode(codec, tensor.data))
    const headers = frame.tensors.map(({ name, tensor }, i) => tensorHeader({ name, shape: [...tensor.shape], codec, bytes: payloads[i]?.byteLength ?? 0 }, tensors))
    atMost(headers.length, 'tensors', MAX_TENSORS)
    return layout(headerOf(frame, headers), payloads)
  })
}

/** Bytes that `encodeFrame` would make of it, from shapes alone; of one that is too large to be sent as well. */
export function messageBytes (frame: Frame, channelCodec: CodecName, tensors: Pick<TensorCodec, 'encodedBytes'>): number {
  return checked(`a '${frame.kind}' frame`, () => {
    const codec = frame.codec ?? channelCodec
    const headers = frame.tensors.map(({ name, tensor: { shape } }): pb.TensorHeader => ({ name, shape: [...shape], codec, bytes: tensors.encodedBytes(codec, elements(shape)) }))
    return headers.reduce((sum, { bytes }) => sum + align(bytes), align(4 + headerOf(frame, headers).byteLength))
  })
}

function headerOf (frame: Frame, tensors: pb.TensorHeader[]): Uint8Array {
  const header: pb.Header = {
    kind: frame.kind,
    step: whole(frame.step, 'step', 0, U32),
    tensors,
    losses: (frame.losses ?? []).map(lossOut),
    scores: (frame.scores ?? []).map(scoreOut)
  }
  if (frame.round != null) header.round = whole(frame.round, 'round', 0, U32)
  if (frame.candidate != null) header.candidate = text(frame.candidate, 'candidate')
  if (frame.report != null) header.report = reportOut(frame.report)
  if (frame.code != null) header.code = text(frame.code, 'code')
  if (frame.reason != null) header.reason = clip(frame.reason)
  atMost(header.losses.length, 'losses', MAX_TASKS)
  atMost(header.scores.length, 'scores', MAX_TASKS)
  return pb.Header.encode(header)
}

export function encodeControl (message: Control): Uint8Array {
  const { control, ...rest } = message
  const header: Partial<pb.Header> = { kind: control, ...rest }
  if (header.reason != null) header.reason = clip(header.reason)
  return start(pb.Header.encode(header))
}

/**
 * The bytes must start at a multiple of 4 of their buffer, as stream.ts delivers them.
 * @throws {DecodeError}
 */
export function decodeMessage (bytes: Uint8Array, init: DecodeInit): Message {
  if (bytes.byteLength < 4 || bytes.byteLength > MAX_FRAME_BYTES) throw new DecodeError(`message of ${bytes.byteLength} bytes, expected 4 to ${MAX_FRAME_BYTES}`)
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
  if (headerBytes > MAX_HEADER_BYTES || 4 + headerBytes > bytes.byteLength) throw new DecodeError(`header of ${headerBytes} bytes in a message of ${bytes.byteLength}`)
  const header = parse(bytes.subarray(4, 4 + headerBytes), MAX_HEADER_BYTES, 'message header', bytes => pb.Header.decode(bytes, { limits: LIMITS }))
  if (CONTROLS.has(header.kind)) {
    if (bytes.byteLength !== align(4 + headerBytes)) throw new DecodeError(`'${header.kind}' message with data`)
    return controlIn(header)
  }
  if (!KINDS.has(header.kind)) throw new DecodeError('unknown kind of frame')

  // every claim is compared with what did arrive before any tensor is made
  let end = align(4 + headerBytes)
  const spans = header.tensors.map(claim => {
    const checkedClaim = tensorHeader(claim, init.tensors)
    const start = end
    end = align(start + claim.bytes)
    if (start + claim.bytes > bytes.byteLength) throw new DecodeError(`tensor '${claim.name}' ends after its message`)
    return { ...checkedClaim, start }
  })
  if (bytes.byteLength !== end) throw new DecodeError(`message of ${bytes.byteLength} bytes, its header describes ${end}`)
  const tensors = spans.map(({ name, shape, codec, bytes: length, start }): NamedTensor => {
    const data = floats(bytes.subarray(start, start + length), codec as CodecName, elements(shape), init.tensors)
    if (init.allowNonFinite !== true) refuseNonFinite(name, data)
    return { name, tensor: { shape, data } }
  })
  return {
    kind: header.kind as FrameKind,
    step: header.step,
    tensors,
    ...(header.round == null ? {} : { round: header.round }),
    ...(header.candidate == null ? {} : { candidate: text(header.candidate, 'candidate') }),
    ...(header.losses.length === 0 ? {} : { losses: header.losses.map(lossIn) }),
    ...(header.scores.length === 0 ? {} : { scores: header.scores.map(scoreIn) }),
    ...(header.report == null ? {} : { report: reportIn(header.report) }),
    ...(header.code == null ? {} : { code: text(header.code, 'code') }),
    ...(header.reason == null ? {} : { reason: text(header.reason, 'reason', undefined, 0) })
  }
}

function controlIn (header: pb.Header): Control {
  switch (header.kind) {
    case 'open': {
      if (!CODEC_NAMES.has(header.codec ?? '')) throw new DecodeError('unknown codec')
      return { control: 'open', session: text(header.session ?? '', 'session'), codec: header.codec as CodecName }
    }
    case 'accepted': return { control: 'accepted' }
    case 'declined': return { control: 'declined', code: text(header.code ?? '', 'code'), reason: text(header.reason ?? '', 'reason', undefined, 0) }
    default: return {
      control: 'bye',
      ...(header.code == null ? {} : { code: text(header.code, 'code') }),
      ...(header.reason == null ? {} : { reason: text(header.reason, 'reason', undefined, 0) })
    }
  }
}

/** Shape, codec and size of one tensor must agree. */
function tensorHeader (claim: pb.TensorHeader, tensors: TensorCodec): pb.TensorHeader {
  tensorName(claim.name, MAX_TENSOR_NAME_BYTES)
  atMost(claim.shape.length, 'axes', MAX_RANK)
  if (!CODEC_NAMES.has(claim.codec)) throw new DecodeError(`tensor '${claim.name}': unknown codec`)
  let count = 1
  for (const dim of claim.shape) {
    count *= whole(dim, 'axis', 1, MAX_FRAME_BYTES)
    if (count > MAX_FRAME_BYTES) throw new DecodeError(`tensor '${claim.name}': too many elements`)
  }
  const expected = claim.codec === 'f32' ? 4 * count : tensors.encodedBytes(claim.codec as CodecName, count)
  if (claim.bytes !== expected) throw new DecodeError(`tensor '${claim.name}': ${claim.bytes} bytes, [${claim.shape.join(', ')}] as ${claim.codec} takes ${expected}`)
  return claim
}

function floats (bytes: Uint8Array, codec: CodecName, count: number, tensors: TensorCodec): Float32Array {
  if (codec === 'f32') return new Float32Array(bytes.buffer, bytes.byteOffset, count)
  const data = tensors.decode(codec, bytes, count)
  if (data.length !== count) throw new DecodeError(`${codec}: ${data.length} elements, expected ${count}`)
  return data
}

/** 16 floats add up to a number, in double precision, unless one of them is none. */
function refuseNonFinite (name: string, data: Float32Array): void {
  const sums = data.length - data.length % 16
  let i = 0
  for (; i < sums; i += 16) {
    const sum = four(data, i) + four(data, i + 4) + four(data, i + 8) + four(data, i + 12)
    if (sum - sum !== 0) break
  }
  for (; i < data.length; i++) {
    const value = data[i] as number
    if (value - value !== 0) throw new DecodeError(`tensor '${name}': ${value} at element ${i}`)
  }
}

function four (data: Float32Array, i: number): number {
  return (data[i] as number) + (data[i + 1] as number) + (data[i + 2] as number) + (data[i + 3] as number)
}

function bytesOf (data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function layout (header: Uint8Array, payloads: readonly Uint8Array[]): Uint8Array[] {
  const parts = [start(header)]
  for (const payload of payloads) {
    parts.push(payload)
    const gap = align(payload.byteLength) - payload.byteLength
    if (gap > 0) parts.push(GAP.subarray(0, gap))
  }
  atMost(parts.reduce((sum, part) => sum + part.byteLength, 0), 'message bytes', MAX_FRAME_BYTES)
  return parts
}

/** What precedes the tensors: the header's length, the header, zeros. */
function start (header: Uint8Array): Uint8Array {
  atMost(header.byteLength, 'header bytes', MAX_HEADER_BYTES)
  const out = new Uint8Array(align(4 + header.byteLength))
  new DataView(out.buffer).setUint32(0, header.byteLength, true)
  out.set(header, 4)
  return out
}

function align (offset: number): number {
  return (offset + 3) & ~3
}

/** A loss that is no number any more has diverged. */
function diverged (value: number): number {
  return Number.isNaN(value) ? Infinity : value
}

function lossOut (loss: TaskLoss): pb.TaskLoss {
  return lossIn({ task: loss.task, loss: diverged(loss.loss), samples: loss.samples })
}

function lossIn (loss: pb.TaskLoss): TaskLoss & pb.TaskLoss {
  return { task: text(loss.task, 'task', MAX_TENSOR_NAME_BYTES), loss: number(loss.loss, 'loss'), samples: whole(loss.samples, 'samples', 0, U32) }
}

function scoreOut (score: CandidateScore): pb.CandidateScore {
  return scoreIn({ ...score, loss: diverged(score.loss), difference: diverged(score.difference), standardError: diverged(score.standardError) })
}

function scoreIn (score: pb.CandidateScore): CandidateScore & pb.CandidateScore {
  return {
    candidate: text(score.candidate, 'candidate'),
    loss: number(score.loss, 'loss'),
    samples: whole(score.samples, 'samples', 0, U32),
    difference: number(score.difference, 'difference'),
    standardError: number(score.standardError, 'standard error')
  }
}

function betweenIn (between: pb.HostConflicts): HostConflicts {
  return {
    hosts: whole(between.hosts, 'hosts', 0, MAX_PEERS),
    pairs: whole(between.pairs, 'pairs of hosts', 0, U32),
    conflictPairs: whole(between.conflictPairs, 'conflict pairs of hosts', 0, U32),
    meanCosine: number(between.meanCosine, 'mean cosine of hosts'),
    minCosine: number(between.minCosine, 'min cosine of hosts'),
    removedShare: number(between.removedShare, 'removed share of hosts'),
    minDirectionCosine: number(between.minDirectionCosine, 'min direction cosine of hosts'),
    ...between.fallback === true ? { fallback: true } : {}
  }
}

function reportOut (report: RoundReport): pb.RoundReport {
  return reportIn({
    ...report,
    contributors: [...report.contributors],
    missing: report.missing.slice(0, MAX_REASONS).map(reason => clip(reason)),
    merged: [...report.merged],
    mergeReason: clip(report.mergeReason)
  })
}

function reportIn (report: pb.RoundReport): RoundReport & pb.RoundReport {
  return {
    host: text(report.host, 'host'),
    round: whole(report.round, 'round', 0, U32),
    steps: whole(report.steps, 'steps', 0, U32),
    seconds: amount(report.seconds, 'seconds'),
    contributors: texts(report.contributors, 'contributors', MAX_PEERS),
    missing: texts(report.missing, 'missing', MAX_REASONS),
    pairs: whole(report.pairs, 'pairs', 0, U32),
    conflictPairs: whole(report.conflictPairs, 'conflict pairs', 0, U32),
    meanCosine: number(report.meanCosine, 'mean cosine'),
    minCosine: number(report.minCosine, 'min cosine'),
    removedShare: number(report.removedShare, 'removed share'),
    minDirectionCosine: number(report.minDirectionCosine, 'min direction cosine'),
    minUpdateCosine: number(report.minUpdateCosine, 'min update cosine'),
    ...report.fallbacks === undefined ? {} : { fallbacks: whole(report.fallbacks, 'fallbacks', 0, U32) },
    merged: texts(report.merged, 'merged', MAX_PEERS),
    mergeReason: text(report.mergeReason, 'merge reason', undefined, 0),
    ...report.between === undefined ? {} : { between: betweenIn(report.between) },
    bytesUp: whole(report.bytesUp, 'bytes up', 0, Number.MAX_SAFE_INTEGER),
    bytesDown: whole(report.bytesDown, 'bytes down', 0, Number.MAX_SAFE_INTEGER),
    final: report.final
  }
}
