/**
 * Writes the golden wire vectors: for every message, and every entry of a small member log, a .bin as it travels (without the stream's length prefix) and a .json
 * of what it says. A published version's vectors are never rewritten: a difference is an error, a new message is added.
 *
 *     node scripts/make-vectors.ts
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeControl, encodeFrame } from '../protocols/split-step/index.ts'
import { encodeCanonical } from '../src/membership/encoding.ts'
import { encodeKnock, encodeLink } from '../src/membership/index.ts'
import * as compression from '../src/compression/index.ts'
import { affinityMessages } from './vectors/affinity-wire.ts'
import { benchCards } from './vectors/bench.ts'
import { exampleLog } from './vectors/membership.ts'
import { knockMessages, membershipMessages } from './vectors/members-wire.ts'
import type { Control } from '../protocols/split-step/index.ts'
import type { Frame, RoundReport } from '../src/backbone/frames.ts'
import type { NamedTensor } from '../src/tensor/tensor.ts'

const VECTORS = join(import.meta.dirname, '..', 'test', 'vectors')
const OUT = join(VECTORS, 'split-step', '1.0.0')
const MEMBERSHIP = join(VECTORS, 'membership', '1.0.0')
/** The messages that carry entries; the entries themselves are in MEMBERSHIP. */
const SYNC = join(VECTORS, 'membership-sync', '1.0.0')
const KNOCK = join(VECTORS, 'knock', '1.0.0')
const AFFINITY = join(VECTORS, 'affinity-wire', '1.0.0')
const BENCH = join(VECTORS, 'bench', '1.0.0')

function named (name: string, shape: number[], ...data: number[]): NamedTensor {
  return { name, tensor: { shape, data: Float32Array.from(data) } }
}

// numbers that every codec keeps: whole, the largest 127, so that int8 has a scale of 1
const activations = named('activations', [2, 3], 127, -64, 32, 1, -127, 0)
const report: RoundReport = {
  host: 'host-1',
  round: 3,
  steps: 20,
  seconds: 1.25,
  contributors: ['client-1', 'client-2'],
  missing: ['client-3: no gradient within 5000 ms'],
  pairs: 380,
  conflictPairs: 41,
  meanCosine: 0.25,
  minCosine: -0.75,
  removedShare: 0.125,
  minDirectionCosine: 0.0625,
  minUpdateCosine: -0.03125,
  merged: ['host-2'],
  mergeReason: 'better than own by 1.5 standard errors',
  bytesUp: 8_589_934_592,
  bytesDown: 12_345,
  final: true
}

const frames: Record<string, Frame> = {
  forward: { kind: 'forward', step: 7, tensors: [activations] },
  grads: { kind: 'grads', step: 7, tensors: [named('task/parity', [2, 2], 0.5, 1, -1, 0.25), named('task/loop', [2, 2], 1, 1, 0, -2)], losses: [{ task: 'parity', loss: 0.5, samples: 2 }, { task: 'loop', loss: 0.75, samples: 2 }] },
  share: { kind: 'share', step: 7, tensors: [named('embed/image', [3], 1, 2, 3)] },
  'eval-forward': { kind: 'eval-forward', step: 0, candidate: 'merged', tensors: [activations] },
  'eval-result': { kind: 'eval-result', step: 20, round: 3, tensors: [], scores: [{ candidate: 'host-2@3', loss: 0.75, samples: 40, difference: -0.125, standardError: 0.0625 }] },
  leave: { kind: 'leave', step: 20, tensors: [], code: 'ERR_DONE', reason: 'no more data' },
  features: { kind: 'features', step: 7, tensors: [named('features', [2, 1], 0.5, -0.5)] },
  'emb-grad': { kind: 'emb-grad', step: 7, tensors: [activations] },
  step: { kind: 'step', step: 8, tensors: [named('embed/image', [3], 1, 2, 3)] },
  'step-late': { kind: 'step', step: 8, tensors: [], code: 'late', reason: 'step 7 closed without you' },
  eval: { kind: 'eval', step: 20, round: 3, candidate: 'host-2@3', tensors: [named('trunk', [5], 1, 2, 3, 4, 5)] },
  'eval-features': { kind: 'eval-features', step: 0, candidate: 'merged', tensors: [named('features', [2, 1], 0.5, -0.5)] },
  round: { kind: 'round', step: 20, round: 3, tensors: [], report },
  'round-hosts': {
    kind: 'round',
    step: 20,
    round: 3,
    tensors: [],
    report: { ...report, fallbacks: 2, between: { hosts: 3, pairs: 3, conflictPairs: 1, meanCosine: 0.125, minCosine: -0.25, removedShare: 0.5, minDirectionCosine: 0.03125, fallback: true } }
  },
  pause: { kind: 'pause', step: 20, tensors: [], code: 'DISK_FULL', reason: 'no space left' },
  refused: { kind: 'refused', step: 20, tensors: [], code: 'ERR_BATCH', reason: 'batch of 64, at most 32' }
}
const controls: Control[] = [
  { control: 'open', session: 'session-1', codec: 'f16' },
  { control: 'accepted' },
  { control: 'declined', code: 'ERR_SESSION', reason: 'session unknown' },
  { control: 'bye' },
  { control: 'bye', code: 'ERR_DATA', reason: 'labels are constant' }
]

async function vector (name: string, bytes: Uint8Array, says: unknown, out = OUT): Promise<void> {
  const path = join(out, name)
  const old = await readFile(`${path}.bin`).catch(() => undefined)
  if (old != null && !old.equals(bytes)) throw new Error(`${name}: published vectors do not change, make a new version`)
  await writeFile(`${path}.bin`, bytes)
  await writeFile(`${path}.json`, JSON.stringify(says, null, 2) + '\n')
}

for (const folder of [OUT, MEMBERSHIP, SYNC, KNOCK, AFFINITY, BENCH]) await mkdir(folder, { recursive: true })
for (const [name, frame] of Object.entries(frames)) {
  for (const codec of name === 'forward' ? compression.CODECS : ['f32'] as const) {
    const tensors = frame.tensors.map(({ name, tensor }) => ({ name, shape: tensor.shape, data: [...tensor.data] }))
    await vector(codec === 'f32' ? name : `${name}-${codec}`, Buffer.concat(encodeFrame(frame, codec, compression)), { codec, message: { ...frame, tensors } })
  }
}
for (const control of controls) {
  await vector('code' in control && control.control === 'bye' ? 'bye-reason' : control.control, encodeControl(control), { message: control })
}
const { log, knock, link } = await exampleLog()
for (const [i, { bytes, ...entry }] of log.entries().entries()) await vector(`entry-${String(i).padStart(2, '0')}-${entry.kind}`, bytes, entry, MEMBERSHIP)
await vector('knock', encodeKnock(knock), knock, MEMBERSHIP)
await vector('link', Buffer.from(encodeLink(link)), link, MEMBERSHIP)
const { state } = log
await vector('log', encodeCanonical(log.heads), {
  id: log.id,
  heads: log.heads,
  digest: state.digest,
  charterHash: state.charterHash,
  members: [...state.members.values()],
  revoked: [...state.revoked.values()],
  left: [...state.left],
  ignored: [...state.ignored]
}, MEMBERSHIP)
for (const { name, bytes, says } of membershipMessages(log)) await vector(name, bytes, says, SYNC)
for (const { name, bytes, says } of knockMessages(log, knock)) await vector(name, bytes, says, KNOCK)
for (const { name, bytes, says } of affinityMessages()) await vector(name, bytes, says, AFFINITY)
for (const { name, bytes, says } of benchCards()) await vector(name, bytes, says, BENCH)
