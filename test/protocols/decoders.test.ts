/**
 * Every decoder against bytes that nobody should send: truncated, flipped, spliced, lengthened, random. Whatever arrives,
 * it is either understood, and then can be sent again, or refused with a ProtocolError.
 *
 * FMTL_FUZZ_RUNS raises the number of cases per decoder, FMTL_FUZZ_SEED repeats a failure.
 */
import test from 'ava'
import fc from 'fast-check'
import * as affinity from '../../protocols/affinity/index.ts'
import { decodeCard, encodeCard } from '../../protocols/announce/index.ts'
import { decodeBenchCard, encodeBenchCard } from '../../protocols/bench/index.ts'
import * as attach from '../../protocols/attach/messages.ts'
import * as blob from '../../protocols/blob/messages.ts'
import { decodeDelta, encodeDelta } from '../../protocols/delta/index.ts'
import * as knock from '../../protocols/knock/index.ts'
import * as limits from '../../protocols/limits.ts'
import * as membership from '../../protocols/membership/index.ts'
import * as reach from '../../protocols/reach/messages.ts'
import { AffinityMessage, AffinityRow } from '../../protocols/affinity/messages.generated.ts'
import { BenchCard as WireCard } from '../../protocols/bench/messages.generated.ts'
import * as pb from '../../protocols/split-step/messages.generated.ts'
import { decodeMessage, encodeControl, encodeFrame } from '../../protocols/split-step/index.ts'
import * as compression from '../../src/compression/index.ts'
import { DecodeError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { attachRequest, clientFrames, hostFrames, joined } from './nodes.ts'
import type { BenchCard } from '../../protocols/bench/index.ts'
import type { DeltaManifest, HostCard } from '../../src/backbone/frames.ts'
import type { Beat } from '../../protocols/membership/index.ts'
import type { BlobResponse } from '../../protocols/blob/messages.ts'
import type { Message } from '../../protocols/split-step/index.ts'

const RUNS = Number(process.env['FMTL_FUZZ_RUNS'] ?? 2000)
/** Far above what any case takes, also on a busy machine. */
const HANG_MS = 1000

const HOST = '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo'
const card: HostCard = {
  host: HOST,
  name: 'lab',
  backend: 'webgpu',
  samplesPerSecond: 100.5,
  memoryBytes: 2 ** 34,
  attached: 1,
  slots: 8,
  model: 'f'.repeat(64),
  round: 2,
  step: 41,
  addresses: ['/ip4/10.0.0.7/tcp/4000', `/ip4/10.0.0.7/tcp/4000/p2p/${HOST}`],
  sentAt: 1_790_000_000_000
}
const manifest: DeltaManifest = {
  host: HOST,
  model: 'f'.repeat(64),
  round: 9,
  base: { a: 8, b: 7 },
  codec: 'int8',
  bytes: 5,
  hash: '0'.repeat(64),
  samples: 640,
  clients: 2,
  losses: [{ task: 'digits', loss: 0.5, samples: 320 }],
  norm: 2.5
}

const beat: Beat = {
  name: 'lab',
  digest: '0'.repeat(64),
  charter: '1'.repeat(64),
  heads: ['2'.repeat(64), '3'.repeat(64)],
  addresses: card.addresses,
  sentAt: 1_790_000_000_000,
  round: 4,
  entries: [new Uint8Array(40).fill(1), new Uint8Array(300).fill(2)]
}

const row: affinity.AffinityRow = { site: HOST, charter: '4'.repeat(64), tasks: ['a', 'b'], sums: Float32Array.of(0, 0.5, -1, 0), counts: Uint32Array.of(0, 3, 3, 0) }

const offer: BenchCard = {
  card: { peer: HOST, modelId: 'small-1', version: 2, arch: 'ab'.repeat(8), parameters: 300, bytes: 1200, sha256: '7'.repeat(64), tasks: [{ id: 'a', classes: 4, space: 'cd'.repeat(8) }, { id: 'b', classes: 2, space: 'ef'.repeat(8) }], valAccuracy: 0.5 },
  name: 'lab',
  charter: 'f'.repeat(16),
  addresses: card.addresses
}

interface Decoder {
  id: string
  corpus: Uint8Array[]
  decode: (bytes: Uint8Array) => unknown
  encode: (value: never) => Uint8Array
}

const decoders: Decoder[] = [
  {
    id: 'affinity message',
    corpus: [
      affinity.encodeAffinity({ row }),
      affinity.encodeAffinity({ roll: { charter: row.charter, clients: [HOST, 'another'] } }),
      affinity.encodeAffinity({ claim: { charter: row.charter, partition: '5'.repeat(64), rows: [{ site: HOST, hash: '6'.repeat(64), bytes: 200 }] } })
    ],
    decode: affinity.decodeAffinity,
    encode: affinity.encodeAffinity
  },
  { id: 'affinity row', corpus: [affinity.encodeRow(row)], decode: affinity.decodeRow, encode: affinity.encodeRow },
  { id: 'attach request', corpus: [attach.encodeRequest({ ...attachRequest(HOST), resume: 'r' })], decode: attach.decodeRequest, encode: attach.encodeRequest },
  {
    id: 'attach response',
    corpus: [attach.encodeResponse({ session: 's', step: 1, version: 2, credits: 4, maxBatch: 64 }), attach.encodeResponse({ code: 'ERR_FULL', reason: 'full' })],
    decode: attach.decodeResponse,
    encode: attach.encodeResponse
  },
  {
    id: 'split-step message',
    corpus: [
      ...[...clientFrames, ...hostFrames].flatMap(frame => compression.CODECS.map(codec => joined(encodeFrame(frame, codec, compression)))),
      encodeControl({ control: 'open', session: 's', codec: 'bf16' }),
      encodeControl({ control: 'accepted' }),
      encodeControl({ control: 'declined', code: 'ERR_BUSY', reason: 'busy' }),
      encodeControl({ control: 'bye', code: 'ERR_DATA', reason: 'no more' })
    ],
    decode: bytes => decodeMessage(bytes, { tensors: compression }),
    encode: (message: Message) => 'control' in message ? encodeControl(message) : joined(encodeFrame(message, 'f32', compression))
  },
  { id: 'host card', corpus: [encodeCard(card)], decode: decodeCard, encode: encodeCard },
  { id: 'delta', corpus: [encodeDelta({ manifest }), encodeDelta({ manifest, payload: new Uint8Array(5) })], decode: decodeDelta, encode: encodeDelta },
  { id: 'model card', corpus: [encodeBenchCard(offer), encodeBenchCard({ ...offer, name: '', addresses: [] })], decode: decodeBenchCard, encode: encodeBenchCard },
  { id: 'blob request', corpus: [blob.encodeRequest({ hash: '0'.repeat(64) }), blob.encodeRequest({ hash: '0'.repeat(64), chunk: 3 })], decode: blob.decodeRequest, encode: blob.encodeRequest },
  {
    id: 'blob response',
    corpus: [
      joined(blob.encodeResponse({ manifest: { bytes: limits.BLOB_CHUNK_BYTES + 1, chunks: ['0'.repeat(64), '1'.repeat(64)] } })),
      joined(blob.encodeResponse({ data: [new Uint8Array(40)] })),
      joined(blob.encodeResponse({ data: [new Uint8Array(300)] })),
      joined(blob.encodeResponse({ code: 'ERR_NOT_FOUND', reason: 'no' }))
    ],
    decode: bytes => blob.decodeResponse([bytes]),
    encode: (response: BlobResponse) => joined(blob.encodeResponse(response))
  },
  { id: 'beat', corpus: [membership.encodeBeat({ ...beat, entries: [] }), membership.encodeBeat(beat)], decode: membership.decodeBeat, encode: membership.encodeBeat },
  {
    id: 'sync request',
    corpus: [membership.encodeSyncRequest({ consortium: '0'.repeat(64), heads: [], skip: 0 }), membership.encodeSyncRequest({ consortium: '0'.repeat(64), heads: beat.heads, skip: 512 })],
    decode: membership.decodeSyncRequest,
    encode: membership.encodeSyncRequest
  },
  {
    id: 'sync response',
    corpus: [
      membership.encodeSyncResponse({ entries: [], more: false, heads: beat.heads }),
      membership.encodeSyncResponse({ entries: beat.entries, more: true, heads: beat.heads }),
      membership.encodeSyncResponse({ code: 'ERR_CONSORTIUM', reason: 'another one' })
    ],
    decode: membership.decodeSyncResponse,
    encode: membership.encodeSyncResponse
  },
  { id: 'knock request', corpus: [knock.encodeRequest(undefined), knock.encodeRequest(new Uint8Array(40).fill(7))], decode: knock.decodeRequest, encode: knock.encodeRequest },
  {
    id: 'answer to a knock',
    corpus: [
      knock.encodeAnswer({ charter: new Uint8Array(40).fill(7) }),
      knock.encodeAnswer({ status: 'pending' }),
      knock.encodeAnswer({ status: 'admitted', entries: beat.entries, addresses: card.addresses }),
      knock.encodeAnswer({ code: 'ERR_REFUSED', reason: 'used up' })
    ],
    decode: knock.decodeAnswer,
    encode: knock.encodeAnswer
  },
  { id: 'reach request', corpus: [reach.encodeRequest([1]), reach.encodeRequest([4001, 65535])], decode: reach.decodeRequest, encode: reach.encodeRequest },
  {
    id: 'reach response',
    corpus: [reach.encodeResponse({ host: '/ip4/192.0.2.1', ports: [] }), reach.encodeResponse({ host: '/ip6/2001:db8::1', ports: [4001, 4002] }), reach.encodeResponse({ code: 'ERR_RELAYED', reason: 'relayed' })],
    decode: reach.decodeResponse,
    encode: reach.encodeResponse
  }
]

/** A valid message, and up to four things done to it. */
function mutated (corpus: Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const seed = fc.constantFrom(...corpus)
  const at = fc.nat(1_000_000)
  const step = fc.oneof(
    fc.record({ kind: fc.constant('truncate' as const), at }),
    fc.record({ kind: fc.constant('flip' as const), at, bit: fc.nat(7) }),
    fc.record({ kind: fc.constant('set' as const), at, byte: fc.constantFrom(0, 1, 127, 128, 255) }),
    fc.record({ kind: fc.constant('insert' as const), at, bytes: fc.uint8Array({ maxLength: 12 }) }),
    fc.record({ kind: fc.constant('splice' as const), at, other: seed, from: at })
  )
  const changed = fc.tuple(seed, fc.array(step, { minLength: 1, maxLength: 4 })).map(([original, steps]) => {
    let bytes = original.slice()
    for (const change of steps) {
      const index = change.at % (bytes.length + 1)
      switch (change.kind) {
        case 'truncate': bytes = bytes.slice(0, index); break
        case 'flip': if (index < bytes.length) bytes[index] = (bytes[index] as number) ^ (1 << change.bit); break
        case 'set': if (index < bytes.length) bytes[index] = change.byte; break
        case 'insert': bytes = Uint8Array.of(...bytes.slice(0, index), ...change.bytes, ...bytes.slice(index)); break
        case 'splice': bytes = Uint8Array.of(...bytes.slice(0, index), ...change.other.slice(change.from % change.other.length)); break
      }
    }
    return bytes
  })
  return fc.oneof({ weight: 9, arbitrary: changed }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) })
}

for (const { id, corpus, decode, encode } of decoders) {
  test(`${id}: what is valid survives, what is not is refused`, t => {
    for (const bytes of corpus) t.deepEqual(decode(encode(decode(bytes) as never)), decode(bytes))
    const prototype = Object.getOwnPropertyNames(Object.prototype).join()
    let accepted = 0
    fc.assert(fc.property(mutated(corpus), bytes => {
      const start = performance.now()
      let value: unknown
      try {
        value = decode(bytes)
      } catch (err) {
        if (!(err instanceof ProtocolError)) throw err
        return
      } finally {
        if (performance.now() - start > HANG_MS) t.fail(`${id} took ${performance.now() - start} ms`)
      }
      accepted++
      encode(value as never)
    }), { numRuns: RUNS })
    t.is(Object.getOwnPropertyNames(Object.prototype).join(), prototype)
    t.log(`${RUNS} cases, ${accepted} accepted, seed ${fc.readConfigureGlobal().seed}`)
  })
}

const ROW = { site: row.site, charter: row.charter, tasks: [...row.tasks], sums: new Uint8Array(row.sums.buffer), counts: new Uint8Array(row.counts.buffer) }
const hostileRows: Array<{ id: string, row: Partial<typeof ROW> }> = [
  { id: 'sums of more cells than its tasks have', row: { sums: new Uint8Array(20) } },
  { id: 'counts of fewer cells than its tasks have', row: { counts: new Uint8Array(12) } },
  { id: 'no task', row: { tasks: [], sums: new Uint8Array(0), counts: new Uint8Array(0) } },
  { id: '65 tasks', row: { tasks: Array.from({ length: 65 }, (_, i) => `t${i}`), sums: new Uint8Array(4 * 65 ** 2), counts: new Uint8Array(4 * 65 ** 2) } },
  { id: 'one task twice', row: { tasks: ['a', 'a'] } },
  { id: 'a sum that is no number', row: { sums: new Uint8Array(Float32Array.of(0, NaN, 0, 0).buffer) } },
  { id: 'an endless sum', row: { sums: new Uint8Array(Float32Array.of(0, 0, Infinity, 0).buffer) } },
  { id: 'a sum of no batch', row: { counts: new Uint8Array(16) } },
  { id: 'no charter', row: { charter: '' } }
]
for (const { id, row } of hostileRows) {
  test(`an affinity row with ${id} is refused`, t => {
    t.throws(() => affinity.decodeRow(AffinityRow.encode({ ...ROW, ...row })), { instanceOf: DecodeError })
    t.throws(() => affinity.decodeAffinity(AffinityMessage.encode({ row: { ...ROW, ...row } })), { instanceOf: DecodeError })
  })
}

test('an affinity row of 64 tasks fits into its message, and travels from any place in a buffer', t => {
  const tasks = Array.from({ length: 64 }, (_, i) => `${i}`.padStart(64, 't'))
  const large = { ...row, tasks, sums: Float32Array.from({ length: 4096 }, (_, i) => Math.fround(Math.sin(i))), counts: new Uint32Array(4096).fill(0xffffffff) }
  const bytes = affinity.encodeAffinity({ row: large })
  t.true(bytes.byteLength <= limits.MAX_AFFINITY_BYTES)
  for (const offset of [0, 1, 2, 3]) {
    const moved = new Uint8Array(bytes.byteLength + offset)
    moved.set(bytes, offset)
    t.deepEqual(affinity.decodeAffinity(moved.subarray(offset)), { row: large })
  }
})

const CARD = { ...offer.card, name: offer.name, charter: offer.charter, tasks: offer.card.tasks.map(task => ({ ...task })), addresses: [...offer.addresses] }
const hostileCards: Array<{ id: string, card: Partial<typeof CARD> }> = [
  { id: 'weights of another size than its parameters', card: { bytes: 1204 } },
  { id: 'no parameters', card: { parameters: 0, bytes: 0 } },
  { id: 'more parameters than any blob holds', card: { parameters: 2 ** 40, bytes: 2 ** 42 } },
  { id: 'version 0', card: { version: 0 } },
  { id: 'a path for a name', card: { modelId: '../../etc' } },
  { id: 'an architecture that is no name', card: { arch: 'A b' } },
  { id: 'no task', card: { tasks: [] } },
  { id: 'one task twice', card: { tasks: [CARD.tasks[0] as typeof CARD.tasks[0], CARD.tasks[0] as typeof CARD.tasks[0]] } },
  { id: 'a task of no class', card: { tasks: [{ id: 'a', classes: 0, space: 'x' }] } },
  { id: 'an accuracy above 1', card: { valAccuracy: 1.5 } },
  { id: 'an accuracy that is no number', card: { valAccuracy: NaN } },
  { id: 'a hash that is none', card: { sha256: 'x'.repeat(64) } },
  { id: 'more than a kibibyte', card: { tasks: Array.from({ length: 20 }, (_, i) => ({ id: `${i}`.padStart(40, 't'), classes: 2, space: 'cd'.repeat(8) })) } }
]
for (const { id, card } of hostileCards) {
  test(`a model card with ${id} is refused`, t => {
    t.throws(() => decodeBenchCard(WireCard.encode({ ...CARD, ...card })), { instanceOf: DecodeError })
  })
}

/** A frame whose header is written by hand. */
function crafted (tensor: Partial<pb.TensorHeader>, data = new Uint8Array(8)): Uint8Array {
  const header = pb.Header.encode({ kind: 'forward', tensors: [{ name: 'a', shape: [2], codec: 'f32', bytes: 8, ...tensor }] })
  const start = (4 + header.length + 3) & ~3
  const out = new Uint8Array(start + ((data.length + 3) & ~3))
  new DataView(out.buffer).setUint32(0, header.length, true)
  out.set(header, 4)
  out.set(data, start)
  return out
}

const hostile: Array<{ id: string, bytes: Uint8Array }> = [
  { id: 'unknown codec', bytes: crafted({ codec: 'f64' }) },
  { id: 'zero axis', bytes: crafted({ shape: [0, 2] }) },
  { id: 'product that overflows', bytes: crafted({ shape: [2 ** 31, 2 ** 31] }) },
  { id: 'product that wraps to what arrived', bytes: crafted({ shape: [65536, 65536, 2] }) },
  { id: 'nine axes', bytes: crafted({ shape: [1, 1, 1, 1, 1, 1, 1, 1, 2] }) },
  { id: 'size that is not its shape', bytes: crafted({ bytes: 4 }) },
  { id: 'more than arrived', bytes: crafted({ shape: [2 ** 20], bytes: 2 ** 22 }) },
  { id: 'less than arrived', bytes: crafted({ shape: [1], bytes: 4 }) },
  { id: 'NaN', bytes: crafted({}, new Uint8Array(Float32Array.of(1, NaN).buffer)) },
  { id: 'infinity', bytes: crafted({}, new Uint8Array(Float32Array.of(-Infinity, 1).buffer)) },
  { id: 'name with capitals', bytes: crafted({ name: 'A' }) },
  { id: 'name of another object', bytes: crafted({ name: '__proto__' }) },
  { id: 'name of 65 bytes', bytes: crafted({ name: 'a'.repeat(65) }) },
  { id: 'header longer than its message', bytes: Uint8Array.of(255, 255, 255, 255, 0) },
  { id: 'no bytes', bytes: new Uint8Array(0) }
]
for (const { id, bytes } of hostile) {
  test(`a tensor frame with ${id} is refused`, t => {
    t.throws(() => decodeMessage(bytes, { tensors: compression }), { instanceOf: DecodeError })
  })
}

test('the crafted frame itself is valid, and NaN may be allowed', t => {
  t.notThrows(() => decodeMessage(crafted({}), { tensors: compression }))
  t.notThrows(() => decodeMessage(crafted({}, new Uint8Array(Float32Array.of(1, NaN).buffer)), { tensors: compression, allowNonFinite: true }))
})

const unsendable: Array<{ id: string, send: () => unknown }> = [
  { id: 'a row of more cells than tasks', send: () => affinity.encodeRow({ ...row, tasks: ['a'] }) },
  { id: 'a claim of the same site twice', send: () => affinity.encodeAffinity({ claim: { charter: row.charter, partition: row.charter, rows: [{ site: 's', hash: row.charter, bytes: 9 }, { site: 's', hash: row.charter, bytes: 9 }] } }) },
  { id: '513 tensors', send: () => encodeFrame({ kind: 'share', step: 0, tensors: Array.from({ length: 513 }, (_, i) => ({ name: `u${i}`, tensor: { shape: [1], data: new Float32Array(1) } })) }, 'f32', compression) },
  { id: 'a negative step', send: () => encodeFrame({ kind: 'share', step: -1, tensors: [] }, 'f32', compression) },
  { id: 'an empty tensor', send: () => encodeFrame({ kind: 'share', step: 0, tensors: [{ name: 'a', tensor: { shape: [0], data: new Float32Array(0) } }] }, 'f32', compression) },
  { id: 'a model card of more than a kibibyte', send: () => encodeBenchCard({ ...offer, card: { ...offer.card, tasks: Array.from({ length: 20 }, (_, i) => ({ id: `${i}`.padStart(40, 't'), classes: 2, space: 'cd'.repeat(8) })) } }) },
  { id: 'a card with NaN', send: () => encodeCard({ ...card, samplesPerSecond: NaN }) },
  { id: 'a request for 65 tasks', send: () => attach.encodeRequest({ ...attachRequest(HOST), tasks: Array.from({ length: 65 }, (_, i) => `t${i}`) }) },
  { id: 'a beat of 17 heads', send: () => membership.encodeBeat({ ...beat, heads: new Array<string>(17).fill('0'.repeat(64)) }) },
  { id: 'a refused sync with a code of 65 bytes', send: () => membership.encodeSyncResponse({ code: 'x'.repeat(65), reason: '' }) },
  { id: 'an empty charter', send: () => knock.encodeAnswer({ charter: new Uint8Array(0) }) },
  { id: 'an admission of no credits', send: () => attach.encodeResponse({ session: 's', step: 0, version: 0, credits: 0, maxBatch: 1 }) }
]
for (const { id, send } of unsendable) {
  test(`${id} is refused before it is sent`, t => {
    t.throws(send, { instanceOf: InvalidParametersError })
  })
}

test('a loss that diverged arrives as infinity, and long texts are cut', t => {
  const bytes = joined(encodeFrame({ kind: 'pause', step: 0, tensors: [], losses: [{ task: 'a', loss: NaN, samples: 1 }], reason: 'ä'.repeat(300) + '\n' }, 'f32', compression))
  const got = decodeMessage(bytes, { tensors: compression })
  if ('control' in got) return t.fail()
  t.is(got.losses?.[0]?.loss, Infinity)
  t.is(got.reason, 'ä'.repeat(128))
})
