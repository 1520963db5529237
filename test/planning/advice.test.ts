import test from 'ava'
import { CODECS } from '../../src/compression/index.ts'
import { TOLERATED_LOSS, adviseCodec } from '../../src/planning/index.ts'
import type { AccuracyCost, CodecPlan, StepConditions } from '../../src/planning/index.ts'
import type { CodecName } from '../../src/compression/index.ts'

function each<T> (f32: T, f16: T, bf16: T, int8: T): Record<CodecName, T> { return { f32, f16, bf16, int8 } }

const free: AccuracyCost = { loss: 0, worst: undefined }
const dear: AccuracyCost = { loss: 2 * TOLERATED_LOSS, worst: { data: 'digits', metric: 'federated', seeds: 3 } }

/** 1 Mbit/s both ways, 10 ms of compute and nothing else: a step of f32 is 1 Mbit each way. */
const BASE: StepConditions = {
  link: { upBitsPerSecond: 1e6, downBitsPerSecond: 1e6, roundTripMs: 0 },
  ms: { embed: 2, heads: 2, finish: 1, local: 0, trunkForward: 2, trunkBackward: 2, apply: 1 },
  codecMs: each(0, 0, 0, 0),
  clients: 1,
  roundTrips: 2,
  traffic: each({ up: 125_000, down: 125_000 }, { up: 62_500, down: 62_500 }, { up: 62_500, down: 62_500 }, { up: 31_250, down: 31_250 }),
  accuracy: each(free, free, free, free)
}
const FAST = { upBitsPerSecond: 1e10, downBitsPerSecond: 1e10, roundTripMs: 0 }

const CHOICES: Array<{ id: string, changes: Partial<StepConditions>, want: CodecName }> = [
  { id: 'a slow link wants the fewest bytes', changes: {}, want: 'int8' },
  { id: 'a fast one wants exact numbers', changes: { link: FAST }, want: 'f32' },
  { id: 'what costs accuracy is left out', changes: { accuracy: each(free, free, free, dear) }, want: 'f16' },
  { id: 'everything may cost accuracy but f32', changes: { accuracy: each(free, dear, dear, dear) }, want: 'f32' },
  { id: 'a slow codec is no gain', changes: { codecMs: each(0, 0, 0, 600) }, want: 'f16' },
  { id: 'a round trip that outlasts the bytes makes them cheap', changes: { link: { upBitsPerSecond: 1e6, downBitsPerSecond: 1e6, roundTripMs: 50_000 } }, want: 'f32' }
]
for (const { id, changes, want } of CHOICES) {
  test(id, t => {
    const { codec, reason, plans } = adviseCodec({ ...BASE, ...changes })
    t.is(codec, want)
    t.deepEqual(plans.map(plan => plan.codec), [...CODECS])
    t.regex(reason, /steps\/s/)
  })
}

function f32 (changes: Partial<StepConditions>): CodecPlan { return adviseCodec({ ...BASE, ...changes }).plans[0] as CodecPlan }

const SECONDS: Array<{ id: string, changes: Partial<StepConditions>, want: number }> = [
  { id: 'compute and bytes', changes: {}, want: 0.01 + 2 },
  { id: 'a line that is slower upwards', changes: { link: { upBitsPerSecond: 5e5, downBitsPerSecond: 1e6, roundTripMs: 0 } }, want: 0.01 + 3 },
  { id: 'two round trips', changes: { link: { ...BASE.link, roundTripMs: 100 } }, want: 0.01 + 2 + 0.2 },
  { id: 'three where units are shared', changes: { link: { ...BASE.link, roundTripMs: 100 }, roundTrips: 3 }, want: 0.01 + 2 + 0.3 },
  { id: 'four tensors through the codec', changes: { codecMs: each(5, 0, 0, 0) }, want: 0.01 + 2 + 0.02 },
  { id: 'a host that serves three', changes: { clients: 3 }, want: 0.018 + 2 },
  { id: 'a local baseline that hides behind the bytes', changes: { ms: { ...BASE.ms, local: 900 } }, want: 0.01 + 2 },
  { id: 'and one that does not', changes: { ms: { ...BASE.ms, local: 1502 } }, want: 0.01 + 2 + 0.5 }
]
for (const { id, changes, want } of SECONDS) {
  test(`seconds of a step: ${id}`, t => {
    const { seconds, stepsPerSecond, computeSeconds, transferSeconds, latencySeconds, codecSeconds } = f32(changes)
    t.true(Math.abs(seconds - want) < 1e-9, `${seconds}`)
    t.true(Math.abs(computeSeconds + transferSeconds + latencySeconds + codecSeconds - seconds) < 1e-9)
    t.true(Math.abs(stepsPerSecond * seconds - 1) < 1e-9)
  })
}

test('the reason names bytes, steps and the measured cost', t => {
  const worst = { data: 'digits', metric: 'served', seeds: 3 } as const
  const { reason } = adviseCodec({ ...BASE, accuracy: each(free, free, free, { loss: 0.002, worst }) })
  t.regex(reason, /4\.00 times fewer bytes/)
  t.regex(reason, /-0\.0020 at worst \(served on digits, 3 seeds\)/)
})
