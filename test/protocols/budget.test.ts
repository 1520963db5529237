/** What one peer can cost: floods by real nodes, and the buckets themselves by a clock of ours. */
import test from 'ava'
import fc from 'fast-check'
import { PeerBudgets } from '../../protocols/budget.ts'
import { BLOB_PROTOCOL, BlobFetcher, BlobStore, serveBlobs } from '../../protocols/blob/index.ts'
import { BUDGETS, MAX_BLOB_BYTES, MAX_BUDGET_PEERS } from '../../protocols/limits.ts'
import { REACH_PROTOCOL, askReach, serveReach } from '../../protocols/reach/index.ts'
import { request, respond } from '../../protocols/request.ts'
import { startNodes } from './nodes.ts'
import type { Budget } from '../../protocols/budget.ts'
import type { ExecutionContext } from 'ava'
import type { TestNode } from './nodes.ts'

test('a minute\'s worth is there at once, and comes back at the pace of a minute', t => {
  let now = 0
  const budgets = new PeerBudgets({ requestsPerMinute: 60, bytesPerMinute: 6000 }, () => now)
  for (let i = 0; i < 60; i++) t.true(budgets.take('a'))
  t.false(budgets.take('a'))
  t.true(budgets.take('b'), 'another peer has its own')
  now = 1000
  t.true(budgets.take('a'))
  t.false(budgets.take('a'))
  now = 3_600_000
  for (let i = 0; i < 60; i++) t.true(budgets.take('a'), 'no more than a minute\'s worth is saved')
  t.false(budgets.take('a'))
})

test('an answer larger than what was left is waited off', t => {
  let now = 0
  const budgets = new PeerBudgets({ requestsPerMinute: 60, bytesPerMinute: 6000 }, () => now)
  t.true(budgets.take('a'))
  budgets.spend('a', 12_000)
  now = 59_999
  t.false(budgets.take('a'))
  now = 60_100
  t.true(budgets.take('a'))
})

test('whatever a peer asks, in no minute more is let through than two minutes\' worth', t => {
  const asking = fc.array(fc.tuple(fc.nat(5000), fc.nat(2000)), { minLength: 1, maxLength: 300 })
  fc.assert(fc.property(asking, steps => {
    let now = 0
    const budgets = new PeerBudgets({ requestsPerMinute: 20, bytesPerMinute: 10_000 }, () => now)
    const passed: Array<{ at: number, bytes: number }> = []
    for (const [pause, bytes] of steps) {
      now += pause
      if (!budgets.take('a')) continue
      budgets.spend('a', bytes)
      passed.push({ at: now, bytes })
    }
    return passed.every(({ at }) => {
      const minute = passed.filter(other => other.at >= at && other.at < at + 60_000)
      return minute.length <= 40 && minute.reduce((sum, { bytes }) => sum + bytes, 0) <= 20_000 + 2000
    })
  }))
  t.pass()
})

test('as many peers are remembered as there may be, those who asked last', t => {
  const budgets = new PeerBudgets({ requestsPerMinute: 1, bytesPerMinute: 1 }, () => 0)
  for (let i = 0; i < 10 * MAX_BUDGET_PEERS; i++) t.true(budgets.take(`peer ${i}`))
  t.is(budgets.size, MAX_BUDGET_PEERS)
  t.false(budgets.take(`peer ${10 * MAX_BUDGET_PEERS - 1}`))
})

test('a provider at 250 MiB/s is within its budget for as long as it likes, and the largest blob fits at once', t => {
  const { requestsPerMinute, bytesPerMinute } = BUDGETS.blob
  t.true(bytesPerMinute / 60 > 250 * 2 ** 20)
  t.true(bytesPerMinute > MAX_BLOB_BYTES)
  t.true(requestsPerMinute / 60 > 250) // of a chunk of 1 MiB each
})

async function three (t: ExecutionContext): Promise<[host: TestNode, honest: TestNode, flooder: TestNode]> {
  const [host, honest, flooder] = await startNodes(t, 3)
  if (host == null || honest == null || flooder == null) throw new Error('three nodes')
  return [host, honest, flooder]
}

const SAY = { busy: 'busy', done: 'done' }
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

/** A protocol that answers at once, and asks a clock of ours. */
async function small (t: ExecutionContext, host: TestNode, budget: Budget, now: () => number): Promise<() => number> {
  let answered = 0
  const stop = await respond(host.components, '/test/1.0.0', {
    maxRequestBytes: 64,
    maxResponseBytes: 64,
    budget,
    now,
    busy: () => Buffer.from(SAY.busy),
    answer: async () => {
      answered++
      return Buffer.from(SAY.done)
    }
  })
  t.teardown(stop)
  return () => answered
}

async function say ({ components }: TestNode, to: TestNode): Promise<string> {
  return text(await request(components, to.id, '/test/1.0.0', new Uint8Array(8), { maxRequestBytes: 64, maxResponseBytes: 64 }))
}

test('a flooder hears busy and costs no more answers; who keeps within the budget is served meanwhile', async t => {
  const [host, honest, flooder] = await three(t)
  let now = 0
  const answered = await small(t, host, { requestsPerMinute: 20, bytesPerMinute: 10_000 }, () => now)
  const heard: string[] = []
  const flood = async (): Promise<void> => { while (heard.length < 200) heard.push(await say(flooder, host)) }
  const flooding = Promise.all(Array.from({ length: 4 }, flood))
  for (let i = 0; i < 20; i++) t.is(await say(honest, host), SAY.done)
  await flooding
  t.is(heard.filter(answer => answer === SAY.done).length, 20)
  t.is(answered(), 40)
  t.is(host.components.overBudget?.get('/test/1.0.0'), heard.length - 20)
  t.is(flooder.components.overBudget?.size, 0)
  now = 60_000
  t.is(await say(flooder, host), SAY.done)
})

test('a budget of bytes counts question and answer', async t => {
  const [host, , flooder] = await three(t)
  const answered = await small(t, host, { requestsPerMinute: 1000, bytesPerMinute: 120 }, () => 0)
  const heard: string[] = []
  for (let i = 0; i < 12; i++) heard.push(await say(flooder, host))
  t.is(answered(), 10) // 8 and 4 bytes each
  t.deepEqual(heard.slice(10), [SAY.busy, SAY.busy])
})

test('who asks to be dialled back too often is told so in the protocol\'s own words, and others still get an answer', async t => {
  const [host, honest, flooder] = await three(t)
  t.teardown(await serveReach(host.components))
  const port = Number(/tcp\/(\d+)/.exec(String(honest.node.getMultiaddrs()[0]))?.[1])
  const asking = async (): Promise<number> => {
    for (let i = 0; ; i++) {
      try {
        await askReach(flooder.components, host.id, [1]) // nobody listens there
      } catch (err) {
        t.like((err as Error).cause, { code: 'ERR_BUSY' })
        return i
      }
    }
  }
  t.true(await asking() >= BUDGETS.reach.requestsPerMinute)
  t.is(host.components.overBudget?.get(REACH_PROTOCOL), 1)
  t.deepEqual(await askReach(honest.components, host.id, [port]), { host: '/ip4/127.0.0.1', ports: [port] })
})

test('a fetch goes on at full speed while another peer floods, and a request above the limit costs no memory', async t => {
  const [host, honest, flooder] = await three(t)
  const store = new BlobStore(2 ** 25)
  const content = Buffer.alloc(24 * 2 ** 20, 'content')
  const hash = store.put(content)
  t.teardown(await serveBlobs(host.components, store))
  const over = new AbortController()
  const flood = async (): Promise<number> => {
    let refused = 0
    while (!over.signal.aborted) {
      await request(flooder.components, host.id, BLOB_PROTOCOL, new Uint8Array(2 ** 20), { maxRequestBytes: 2 ** 21, maxResponseBytes: 2 ** 21, signal: AbortSignal.timeout(5000) }).catch(() => { refused++ })
    }
    return refused
  }
  const flooding = Promise.all([flood(), flood()])
  const got = await new BlobFetcher(honest.components).fetch(hash, content.byteLength, [host.id])
  over.abort()
  t.true(content.equals(got))
  t.true((await flooding).every(refused => refused > 0))
  t.is(host.components.overBudget?.get(BLOB_PROTOCOL), undefined)
})
