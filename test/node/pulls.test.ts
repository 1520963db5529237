/** Models on their way to a peer's bench: a few at a time, the newest version only, and no for an answer in the end. */
import test from 'ava'
import { BackendError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { Pulls } from '../../node/roles/pulls.ts'
import { peerRoles } from '../../node/roles/choose.ts'
import { until } from '../protocols/nodes.ts'
import type { Held, PullsInit } from '../../node/roles/pulls.ts'
import type { ModelCard } from '../../src/bench/card.ts'

const WEIGHTS = new Float32Array(4)

function cardOf (peer: string, version = 1, modelId = 'model-1'): ModelCard {
  return { peer, modelId, version, arch: 'a', parameters: 4, bytes: 16, sha256: '', tasks: [] }
}

interface Bench {
  readonly pulls: Pulls
  /** What happened, in order. */
  readonly lines: string[]
  readonly abort: AbortController
  readonly clock: { ms: number }
}

function benchOf (init: Partial<PullsInit> & { readonly held?: readonly Held[] } = {}): Bench {
  const lines: string[] = []
  const abort = new AbortController()
  const clock = { ms: 0 }
  const pulls = new Pulls({
    wanted: async () => ({ wanted: true, reason: '' }),
    fetch: async ({ peer, version }) => {
      lines.push(`fetch ${peer} ${version}`)
      return new Uint8Array(WEIGHTS.buffer)
    },
    consider: async () => ({ kept: true, accuracy: 0.5, reason: 'fine' }),
    onConsidered: ({ peer, version }, { kept, reason }) => { lines.push(`${kept ? 'kept' : 'refused'} ${peer} ${version}: ${reason}`) },
    onRefused: ({ peer, version }, reason) => { lines.push(`no ${peer} ${version}: ${reason}`) },
    now: () => clock.ms,
    signal: abort.signal,
    held: [],
    ...init
  })
  return { pulls, lines, abort, clock }
}

test('two are fetched at a time, the others wait; of a model the newest version only', async t => {
  const asked: Array<{ card: ModelCard, give: (bytes: Uint8Array) => void }> = []
  const { pulls, lines, abort } = benchOf({ fetch: async card => await new Promise(resolve => { asked.push({ card, give: resolve }) }) })
  for (const peer of ['a', 'b', 'c']) pulls.offer(cardOf(peer))
  pulls.offer(cardOf('c', 2))
  pulls.offer(cardOf('c', 1))
  await until(() => asked.length === 2)
  t.deepEqual(pulls.figures, { kept: 0, refused: 0, pending: 3, failed: 0 })
  t.deepEqual(pulls.pending.map(({ peer, version }) => `${peer} ${version}`), ['a 1', 'b 1', 'c 2'])
  for (let i = 0; i < 3; i++) {
    await until(() => asked.length > i)
    asked[i]?.give(new Uint8Array(16))
  }
  await pulls.idle(abort.signal)
  t.deepEqual(lines.toSorted(), ['kept a 1: fine', 'kept b 1: fine', 'kept c 2: fine'])
  t.deepEqual(pulls.held, [['a', 'model-1', 1], ['b', 'model-1', 1], ['c', 'model-1', 2]])
  pulls.offer(cardOf('a'))
  t.is(asked.length, 3, 'a repetition of what is kept is nothing new')
})

test('what is not wanted by its card is not fetched, and what is held from before is not either', async t => {
  const { pulls, lines, abort } = benchOf({ wanted: async ({ peer }) => ({ wanted: peer === 'a', reason: 'of another kind' }), held: [['a', 'model-1', 3]] })
  pulls.offer(cardOf('a', 3))
  pulls.offer(cardOf('b'))
  await pulls.idle(abort.signal)
  t.deepEqual(lines, ['no b 1: of another kind'])
  t.deepEqual(pulls.figures, { kept: 1, refused: 1, pending: 0, failed: 0 })
  pulls.offer(cardOf('a', 4))
  await pulls.idle(abort.signal)
  t.deepEqual(lines.slice(1), ['fetch a 4', 'kept a 4: fine'])
})

test('what does not come is tried again when its card is repeated, ever later, and given up after three times', async t => {
  const { pulls, lines, clock, abort } = benchOf({ fetch: async () => { throw new ProtocolError('nobody has it') } })
  const offer = async (): Promise<void> => {
    pulls.offer(cardOf('a'))
    await pulls.idle(abort.signal)
  }
  await offer()
  await offer()
  t.is(lines.length, 1, 'not at once')
  clock.ms = 4_000
  await offer()
  clock.ms = 11_000
  await offer()
  t.is(lines.length, 2)
  clock.ms = 12_000
  await offer()
  clock.ms = 1e6
  await offer()
  t.deepEqual(lines, ['no a 1: nobody has it; try 1 of 3', 'no a 1: nobody has it; try 2 of 3', 'no a 1: nobody has it; given up after 3 tries'])
  t.is(pulls.figures.failed, 1)
  pulls.offer(cardOf('a', 2))
  await pulls.idle(abort.signal)
  t.is(lines.at(-1), 'no a 2: nobody has it; try 1 of 3', 'another version may be had')
})

test('a worker that is lost is no fault of the model: nobody is told, and it may be tried again', async t => {
  const { pulls, lines, clock, abort } = benchOf({ consider: async () => { throw new BackendError('the worker is gone') } })
  for (let i = 0; i < 5; i++) {
    clock.ms += 60_000
    pulls.offer(cardOf('a'))
    await pulls.idle(abort.signal)
  }
  t.deepEqual(lines, Array.from({ length: 5 }, () => 'fetch a 1'))
})

test('after the end nothing is begun, and who waits hears why', async t => {
  const { pulls, lines, abort } = benchOf({
    fetch: async (_, signal) => await until(() => signal.aborted).then(() => {
      signal.throwIfAborted()
      return new Uint8Array(16)
    })
  })
  pulls.offer(cardOf('a'))
  const idle = pulls.idle(abort.signal)
  abort.abort(new Error('stopped'))
  await t.throwsAsync(idle, { message: 'stopped' })
  pulls.offer(cardOf('b'))
  t.is(pulls.pending.filter(({ peer }) => peer === 'b').length, 0)
  t.deepEqual(lines, [])
})

test('where models are traded there is nothing to host, and who has no rows has nothing to train', t => {
  t.throws(() => peerRoles('host', {}), { instanceOf: InvalidParametersError, message: /nothing to host/ })
  t.throws(() => peerRoles('auto', undefined), { instanceOf: InvalidParametersError, message: /needs data/ })
  for (const wish of ['auto', 'client', 'both'] as const) t.deepEqual(peerRoles(wish, 'rows'), { roles: { host: false, client: false, reason: 'trades models with its peers: the charter has a bench' }, data: 'rows' })
})
