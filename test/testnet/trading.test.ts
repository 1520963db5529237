/** What a run of peers that trade models looks like while it goes on, when it has come to rest, and what is said of it. */
import test from 'ava'
import { LiveState } from '../../testnet/view/live.ts'
import { Settling } from '../../testnet/runners/settling.ts'
import { TradingTally } from '../../testnet/trading.ts'
import { factOf } from '../../node/cli/facts.ts'
import type { Explanation } from '../../src/bench/peer-trainer.ts'
import type { NodeEvent } from '../../node/events.ts'

const plain = (_: unknown, text: string): string => text

function started (node: string): NodeEvent {
  return { type: 'node:started', node, peer: `p-${node}`, pid: 1, roles: ['peer'], roleReason: '', addresses: [], backend: 'none', falls: [], seconds: 1 }
}
function offers (node: string, version = 1): NodeEvent { return { type: 'card:published', node, modelId: 'model-1', version, bytes: 4096, accuracy: 0.5 } }
function took (node: string, peer: string, version = 1, kept = true): NodeEvent {
  return { type: 'model:considered', node, peer: `p-${peer}`, modelId: 'model-1', version, kept, reason: kept ? 'one of 2' : 'its weights are not finite', accuracy: kept ? 0.25 : null }
}
function chose (node: string, accuracy: number, own = true, pending = 0): NodeEvent {
  const explanation: Explanation = {
    peer: `p-${node}`,
    models: 2,
    own: 1,
    tasks: [{
      task: 'kind',
      samples: 10,
      models: 2,
      passedOver: 0,
      members: [{ peer: `p-${node}`, modelId: 'model-1', version: 1, arch: 'a', own: true, accuracy, loses: 0 }, ...own ? [] : [{ peer: 'p-south', modelId: 'model-1', version: 1, arch: 'a', own: false, accuracy, loses: 0 }]],
      by: 'search',
      accuracy,
      strength: accuracy,
      diversity: 0,
      rivals: [],
      reason: ''
    }]
  }
  return { type: 'committee', node, explanation, pending }
}
function reported (node: string): NodeEvent { return { type: 'report', node, report: { client: node, served: 'committee', reason: '', tasks: [] } } }

test('a testnet is at rest when everybody has looked at the newest of everything, chosen from it, and reported', async t => {
  const settling = new Settling()
  const there = ['north', 'south']
  const restless = (...events: NodeEvent[]): Array<[string, number]> => {
    for (const event of events) settling.add(event)
    return settling.restless(there).map(({ node, models }) => [node, models])
  }
  t.deepEqual(restless(started('north'), started('south')), [['north', 0], ['south', 0]], 'they have not begun')
  t.deepEqual(restless(offers('north'), chose('north', 0.5), reported('north')), [['south', 1]])
  const rest = settling.rest(() => there, new AbortController().signal)
  t.deepEqual(restless(offers('south'), took('south', 'north'), chose('south', 0.5), reported('south')), [['north', 1]], 'what came late')
  t.deepEqual(restless(took('north', 'south'), chose('north', 0.6, false, 1), reported('north')), [['north', 0]], 'more came while it chose')
  t.deepEqual(restless(chose('north', 0.6, false)), [['north', 0]], 'it has not said what that scores')
  t.deepEqual(restless(reported('north')), [])
  await t.notThrowsAsync(rest)
  t.deepEqual(restless(offers('north', 2), chose('north', 0.6), reported('north')), [['south', 1]], 'a newer version')
  t.deepEqual(restless({ type: 'card:refused', node: 'south', peer: 'p-north', modelId: 'model-1', version: 2, reason: 'did not come' }), [], 'a no is an answer')
  const given = new AbortController()
  const never = settling.rest(() => [...there, 'gone'], given.signal)
  const over = new Error('time is up')
  given.abort(over)
  await t.throwsAsync(never, { is: over })
})

test('the tally has what each offered and took, whose its members are, and why not', t => {
  const tally = new TradingTally()
  t.is(tally.build(text => text), undefined, 'nobody trades')
  for (const event of [offers('north', 2), took('north', 'south'), took('north', 'west', 1, false), chose('north', 0.5), chose('north', 0.75, false), offers('south')]) tally.add(event)
  const { traders, refusals } = tally.build(text => text.replace('p-', '')) ?? { traders: [], refusals: [] }
  t.deepEqual(traders, [
    { node: 'north', offered: 1, version: 2, taken: 1, refused: 1, choices: 2, ownShare: 0.5, firstHoldout: 0.5, holdout: 0.75 },
    { node: 'south', offered: 1, version: 1, taken: 0, refused: 0, choices: 0, ownShare: null, firstHoldout: null, holdout: null }
  ])
  t.deepEqual(refusals, [{ node: 'north', peer: 'west', modelId: 'model-1', reason: 'its weights are not finite' }])
  tally.add(took('north', 'west'))
  t.like(tally.build(text => text)?.traders[0], { taken: 2, refused: 0 }, 'a version that is fine makes up for it')
})

test('the live area has a line for each peer, and no hosts', t => {
  const live = new LiveState()
  const events: NodeEvent[] = [
    started('north'), started('south'), { type: 'client:ready', node: 'north', tasks: ['kind'], samples: { train: 1, holdout: 1, test: 1 } },
    { type: 'step', node: 'north', step: 20, total: 40, losses: { kind: 1 } }, offers('north'), took('north', 'south'), took('north', 'west', 1, false), chose('north', 0.5), chose('north', 0.75),
    { type: 'waiting', node: 'south', reason: 'waiting: 2 models that others offered are on their way, for 20 s at most' }
  ]
  events.forEach((event, i) => { live.event(event, i) })
  const lines = live.frame({ width: 110, rows: 20, seconds: 12, paint: plain, title: 'testnet' })
  t.is(lines[0], 'testnet  0:12  2 peers')
  t.true(lines.some(line => /^peer +state +progress +step +offers +took +refused +hold-out/.test(line)))
  t.true(lines.some(line => /^north +training .* 20\/40 +1 +1 +1 +0\.750 /.test(line)), lines.join('\n'))
  t.true(lines.some(line => /^south +waiting/.test(line)))
  t.true(lines.some(line => line === '  waits: 2 models that others offered are on their way, for 20 s at most'))
  t.false(lines.some(line => line.startsWith('host') || line.startsWith('client')))
  live.event(reported('north'), 20)
  live.event({ type: 'node:stopped', node: 'south', exitCode: 1, reason: 'killed' }, 21)
  const later = live.frame({ width: 110, rows: 20, seconds: 22, paint: plain, title: 'testnet' })
  t.true(later.some(line => /^north +serving/.test(line)))
  t.true(later.some(line => line === '  lost: exit status 1: killed'))
  t.true(later.every(line => line.length <= 110))
})

test('each fact of a trade is one line, with names in the place of ids', t => {
  const name = (text: string): string => text.replaceAll('p-', '')
  t.deepEqual([offers('north'), took('north', 'south'), took('north', 'south', 1, false), chose('north', 0.75, false), { type: 'card:refused', node: 'north', peer: 'p-west', reason: 'message of 2000 bytes, at most 1024' } as const].map(event => factOf(event, name)), [
    'north offers model-1, version 1, 4.0 KiB; 0.500 on its own hold-out',
    'north took model-1 of south, version 1: 0.250 on the hold-out, one of 2',
    'north does not take model-1 of south, version 1: its weights are not finite',
    'north is served for kind by own model-1 and model-1 of south, hold-out 0.750',
    'north does not take a card of west: message of 2000 bytes, at most 1024'
  ])
})
