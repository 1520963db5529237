import test from 'ava'
import { advisePlacement, adviseWholeCodec } from '../../src/planning/index.ts'
import { CODECS } from '../../src/compression/index.ts'
import { smallCharter } from '../helpers/federation.ts'
import { SIDE } from '../helpers/synthetic.ts'
import type { CodecPlan, PlacedRound, WholeConditions } from '../../src/planning/index.ts'
import type { CodecName } from '../../src/compression/index.ts'

function each<T> (value: T): Record<CodecName, T> { return Object.fromEntries(CODECS.map(codec => [codec, value])) as Record<CodecName, T> }

/** 1 Mbit/s both ways and 1 Mbit each way; four gradient steps of 10 ms. */
const BASE: WholeConditions = {
  link: { upBitsPerSecond: 1e6, downBitsPerSecond: 1e6, roundTripMs: 0 },
  whole: { gradient: 10, average: 2 },
  localMs: 0,
  localSteps: 4,
  codecMs: each(0),
  clients: 1,
  traffic: { ...each({ up: 62_500, down: 62_500 }), f32: { up: 125_000, down: 125_000 } }
}

const SECONDS: Array<{ id: string, changes: Partial<WholeConditions>, want: number }> = [
  { id: 'gradient steps, averaging and bytes', changes: {}, want: 0.042 + 2 },
  { id: 'one round trip', changes: { link: { ...BASE.link, roundTripMs: 100 } }, want: 0.042 + 2 + 0.1 },
  { id: 'a host that averages three', changes: { clients: 3 }, want: 0.046 + 2 },
  { id: 'two tensors through the codec', changes: { codecMs: each(5) }, want: 0.042 + 2 + 0.01 },
  { id: 'a local baseline that hides behind the bytes', changes: { localMs: 400 }, want: 0.042 + 2 },
  { id: 'and one that does not', changes: { localMs: 600 }, want: 0.04 + 2.4 }
]
for (const { id, changes, want } of SECONDS) {
  test(`seconds of an exchange of whole models: ${id}`, t => {
    const { seconds, computeSeconds, transferSeconds, latencySeconds, codecSeconds } = adviseWholeCodec({ ...BASE, ...changes }).plans[0] as CodecPlan
    t.true(Math.abs(seconds - want) < 1e-9, `${seconds}`)
    t.true(Math.abs(computeSeconds + transferSeconds + latencySeconds + codecSeconds - seconds) < 1e-9)
  })
}

test('no codec but f32 is advised for whole models: what others cost there was not measured', t => {
  const { codec, plans, reason } = adviseWholeCodec(BASE)
  t.is(codec, 'f32')
  t.deepEqual(plans.map(plan => plan.accuracy === undefined), [false, true, true, true])
  t.true((plans[1] as CodecPlan).seconds < (plans[0] as CodecPlan).seconds)
  t.regex(reason, /no codec whose cost was measured/)
})

const LINK = { upBitsPerSecond: 8e6, downBitsPerSecond: 8e6, roundTripMs: 0 }

function placed (init: { compute: number, line: number, steps: number, bytes: number, inFlight?: number, end?: number }): PlacedRound {
  const { compute, line, steps, bytes, inFlight = 1, end = 0 } = init
  const charter = smallCharter([SIDE], { training: { stepsPerRound: steps, ...inFlight === 1 ? {} : { inFlight } } })
  const plan: CodecPlan = { codec: 'f32', bytesUp: bytes, bytesDown: bytes, seconds: compute + line, computeSeconds: compute, transferSeconds: line, latencySeconds: 0, codecSeconds: 0, stepsPerSecond: 1 / (compute + line), accuracy: undefined }
  return { charter, plan, traffic: { up: steps * bytes + end, down: steps * bytes }, gradientSteps: 20, possible: true }
}

const PLACES: Array<{ id: string, host: Parameters<typeof placed>[0], client: Parameters<typeof placed>[0], want: { trunk: 'host' | 'client', seconds: [number, number], says: RegExp } }> = [
  {
    id: 'a large trunk on a weak device',
    host: { compute: 0.01, line: 0.04, steps: 20, bytes: 1000 },
    client: { compute: 20, line: 10, steps: 1, bytes: 1e6 },
    want: { trunk: 'host', seconds: [1, 30], says: /30\.0 times faster, with 50\.0 times fewer bytes/ }
  },
  {
    id: 'a small model on a thin link',
    host: { compute: 0.01, line: 0.99, steps: 20, bytes: 1e5 },
    client: { compute: 0.2, line: 0.3, steps: 1, bytes: 1e4 },
    want: { trunk: 'client', seconds: [20, 0.5], says: /40\.0 times faster, with 200 times fewer bytes/ }
  },
  {
    id: 'time is bought with bytes',
    host: { compute: 0.1, line: 0.1, steps: 20, bytes: 1e5 },
    client: { compute: 40, line: 1, steps: 1, bytes: 1e4 },
    want: { trunk: 'host', seconds: [4, 41], says: /at the price of 200 times the bytes/ }
  },
  {
    id: 'as fast either way: fewer bytes decide',
    host: { compute: 0.1, line: 0.1, steps: 20, bytes: 1e5 },
    client: { compute: 4, line: 0.1, steps: 1, bytes: 1e4 },
    want: { trunk: 'client', seconds: [4, 4.1], says: /as fast either way, with/ }
  },
  {
    id: 'steps in flight hide the line',
    host: { compute: 0.1, line: 0.3, steps: 20, bytes: 1000, inFlight: 2 },
    client: { compute: 10, line: 0, steps: 1, bytes: 1e6 },
    want: { trunk: 'host', seconds: [4, 10], says: /2\.50 times faster/ }
  },
  {
    id: 'the end of a round counts',
    host: { compute: 0.1, line: 0, steps: 20, bytes: 1000, end: 1e6 },
    client: { compute: 10, line: 0, steps: 1, bytes: 1e6 },
    want: { trunk: 'host', seconds: [3, 10], says: /3\.33 times faster/ }
  }
]
for (const { id, host, client, want } of PLACES) {
  test(`where the trunk should sit: ${id}`, t => {
    const { trunk, placements, reason } = advisePlacement(LINK, placed(host), placed(client))
    t.is(trunk, want.trunk)
    t.regex(reason, want.says)
    for (const [i, { seconds, computeSeconds, lineSeconds }] of placements.entries()) {
      t.true(Math.abs(seconds - (want.seconds[i] as number)) < 1e-9, `${seconds}`)
      t.true(Math.abs(computeSeconds + lineSeconds - seconds) < 1e-9)
    }
  })
}

test('a place whose messages cannot be sent is not advised, however fast it would be', t => {
  const [host, client] = [placed({ compute: 1, line: 1, steps: 20, bytes: 1000 }), placed({ compute: 0.1, line: 0, steps: 1, bytes: 1000 })]
  t.is(advisePlacement(LINK, host, client).trunk, 'client')
  const { trunk, reason } = advisePlacement(LINK, host, { ...client, possible: false })
  t.is(trunk, 'host')
  t.regex(reason, /too large/)
})
