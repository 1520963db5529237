/** Clients and hosts that come late, leave, die or lie, between real roles over memory channels. Waits are on events. */
import test from 'ava'
import { DeadlineError, ProtocolError } from '../../src/errors.ts'
import { ExchangeHub } from '../../src/federation/exchange.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { attach, backwardAlone, forwardAlone, makeClient, makeHost, smallCharter, until } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName } from '../helpers/tensors.ts'
import { LEVEL, MASK, SIDE, THREE, clientData } from '../helpers/synthetic.ts'
import type { BackboneHostEvents } from '../../src/federation/backbone-host.ts'
import type { Frame, RoundReport } from '../../src/backbone/frames.ts'
import type { SplitClientEvents } from '../../src/federation/split-client.ts'

const backend = await backendOn('wasm')
const TASKS = [LEVEL, MASK, SIDE]

type StepDone = BackboneHostEvents['step:done']['detail']
type Skipped = SplitClientEvents['step:skipped']['detail']

function charterFor (quorum: number, changes: Parameters<typeof smallCharter>[1] = {}) {
  return smallCharter(TASKS, { ...changes, clock: { quorum, ...changes.clock } })
}

function data (id: string) {
  return clientData(THREE.find(client => client.id === id) ?? { id, tasks: [SIDE] })
}

function collect<T> (target: EventTarget, name: string): T[] {
  const seen: T[] = []
  target.addEventListener(name, event => seen.push((event as CustomEvent<T>).detail))
  return seen
}

/** Frames from now on; the iterator of a channel may be taken once. */
async function nextOf (frames: AsyncIterator<Frame>, kind: Frame['kind']): Promise<Frame> {
  for (;;) {
    const { value, done } = await frames.next() as IteratorResult<Frame, undefined>
    if (done === true) throw new Error(`the channel ended before a ${kind} frame`)
    if (value.kind === kind) return value
  }
}

test.serial('a client computes nothing before the host\'s clock runs', async t => {
  const charter = charterFor(2)
  const home = makeHost(backend, charter)
  const asked: string[] = []
  const waiting = (name: string) => makeClient(backend, charter, data(name), { forward: async () => { asked.push(name) } })
  home.host.start()
  const first = attach(home, waiting('ada'), charter)
  await new Promise(resolve => setImmediate(resolve)) // it would ask its trainer before that
  t.is(home.host.attached, 1)
  t.deepEqual(asked, [])
  const second = attach(home, waiting('ben'), charter)
  await Promise.all([first.ran, second.ran])
  t.deepEqual([...new Set(asked)].sort(), ['ada', 'ben'])
  await home.host.stop()
})

test.serial('a client whose channel is cut is named with the reason, and the others finish', async t => {
  const charter = charterFor(3)
  const home = makeHost(backend, charter)
  const clients = THREE.map(({ id }) => makeClient(backend, charter, data(id)))
  const reports = collect<RoundReport>(home.host, 'round:closed')
  const detached = collect<{ client: string, reason: string }>(home.host, 'client:detached')
  const attached = clients.map(client => attach(home, client, charter))
  home.host.addEventListener('step:done', event => {
    if (event.detail.step === 1) void attached[1]?.channels.client.close()
  })
  home.host.start()
  await t.throwsAsync(attached[1]?.ran as Promise<void>, { instanceOf: ProtocolError })
  await Promise.all([attached[0]?.ran, attached[2]?.ran])
  await home.host.finished
  t.deepEqual(reports.map(({ contributors }) => contributors), [['ada', 'ben', 'cyd'], ['ada', 'cyd']])
  t.is(reports[0]?.missing.length, 1)
  t.regex(reports[0]?.missing[0] as string, /^ben: left at step [12]: ./)
  t.deepEqual(reports[1]?.missing, [])
  t.deepEqual(detached[0], { client: 'ben', reason: 'the connection closed' })
  await home.host.stop()
})

test.serial('a client that misses a step is named, told where the clock stands, and takes part again', async t => {
  const charter = charterFor(2, { clock: { stepDeadlineMs: 60 } })
  const home = makeHost(backend, charter)
  const reports = collect<RoundReport>(home.host, 'round:closed')
  const steps = collect<StepDone>(home.host, 'step:done')
  const stuck = until<StepDone>(home.host, 'step:done', ({ step }) => step === 1)
  const prompt = makeClient(backend, charter, data('ada'))
  const late = makeClient(backend, charter, data('ben'), { backward: async step => { if (step === 1) await stuck } })
  const skipped = until<Skipped>(late.client, 'step:skipped')
  const done = [attach(home, prompt, charter), attach(home, late, charter)]
  home.host.start()
  const { from, to, reason } = await skipped
  t.is(from, 1)
  t.true(to >= 2)
  t.not(reason, '')
  await Promise.all(done.map(({ ran }) => ran))
  t.deepEqual(steps.find(({ step }) => step === 1)?.contributors, ['ada'])
  t.deepEqual(reports[0]?.missing, ['ben: step 1: no gradient within 60 ms'])
  t.deepEqual(steps.at(-1)?.contributors, ['ada', 'ben'])
  t.is(prompt.client.localSteps, 6)
  t.is(late.client.localSteps, 6, 'the local baseline is not robbed of steps')
  await home.host.stop()
})

test.serial('a client that is always slower than the others, but within the deadline, takes part in every step', async t => {
  const charter = charterFor(2)
  const home = makeHost(backend, charter)
  const steps = collect<StepDone>(home.host, 'step:done')
  const quick = makeClient(backend, charter, data('ada'))
  const slow = makeClient(backend, charter, data('ben'), { forward: async () => await new Promise(resolve => setTimeout(resolve, 60)) })
  const done = [attach(home, quick, charter), attach(home, slow, charter)]
  home.host.start()
  await Promise.all(done.map(({ ran }) => ran))
  t.deepEqual(steps.map(({ contributors }) => contributors.join()), new Array<string>(6).fill('ada,ben'))
  await home.host.stop()
})

test.serial('a slow client that missed one step is waited for again', async t => {
  const charter = charterFor(2, { training: { rounds: 4 }, clock: { stepDeadlineMs: 300 } })
  const home = makeHost(backend, charter)
  const steps = collect<StepDone>(home.host, 'step:done')
  const stuck = until<StepDone>(home.host, 'step:done', ({ step }) => step === 1)
  const slow = makeClient(backend, charter, data('ben'), {
    forward: async () => await new Promise(resolve => setTimeout(resolve, 60)),
    backward: async step => { if (step === 1) await stuck }
  })
  const done = [attach(home, makeClient(backend, charter, data('ada')), charter), attach(home, slow, charter)]
  home.host.start()
  await Promise.all(done.map(({ ran }) => ran))
  const after = steps.slice(4).filter(({ contributors }) => contributors.includes('ben')).length
  t.true(after >= 6, `took part in ${after} of ${steps.length - 4} steps after the one it missed`)
  await home.host.stop()
})

test.serial('a step whose only contributor leaves before the deadline does not stop the host', async t => {
  const charter = charterFor(2, { clock: { stepDeadlineMs: 40 } })
  const home = makeHost(backend, charter)
  const steps = collect<StepDone>(home.host, 'step:done')
  // ben holds his first gradient back until long after ada has delivered hers and left.
  let release: () => void = () => {}
  const held = new Promise<void>(resolve => { release = resolve })
  const ada = makeClient(backend, charter, data('ada'))
  const ben = makeClient(backend, charter, data('ben'), { backward: async () => await held })
  const first = attach(home, ada, charter, frame => {
    if (frame.kind === 'forward' && frame.step === 1) throw new Error('gone')
  })
  const second = attach(home, ben, charter)
  home.host.start()
  const delivered = until(ada.client, 'step:done')
  await delivered
  await t.throwsAsync(first.ran)
  await new Promise(resolve => setTimeout(resolve, 120)) // past the deadline
  release()
  await t.notThrowsAsync(second.ran)
  t.deepEqual(steps.filter(({ contributors }) => contributors.includes('ben')).map(({ step }) => step).slice(-5), [1, 2, 3, 4, 5])
  await home.host.stop()
})

test.serial('a host that dies: the client throws, goes on at another host and finishes', async t => {
  const charter = charterFor(1)
  const first = makeHost(backend, charter, { id: 'first' })
  const ada = makeClient(backend, charter, data('ada'))
  const doomed = attach(first, ada, charter)
  first.host.addEventListener('step:done', event => {
    if (event.detail.step === 3) void first.host.stop('the power is gone')
  })
  first.host.start()
  await t.throwsAsync(doomed.ran, { instanceOf: ProtocolError, message: /the power is gone/ })
  t.true(ada.client.step >= 3 && ada.client.step < 6, String(ada.client.step))

  const second = makeHost(backend, charter, { id: 'second' })
  const rescued = attach(second, ada, charter)
  second.host.start()
  await rescued.ran
  t.is(await rescued.served, 'training is complete')
  t.is(ada.client.step, 6)
  t.is(ada.client.localSteps, 6)
  const { tasks } = await ada.client.report()
  t.true(tasks.every(({ scores }) => Number.isFinite(scores.federated?.value)))
  await second.host.stop()
})

test.serial('a client that is aborted stops and says why; a silent host is a deadline', async t => {
  const charter = charterFor(2) // a second client never comes
  const home = makeHost(backend, charter)
  const ada = makeClient(backend, charter, data('ada'))
  const channels = channelPair({ client: 'ada', host: 'host' })
  const there = until(home.host, 'client:attached')
  const served = home.host.serve(ada.request, channels.host)
  await there
  const controller = new AbortController()
  const ran = ada.client.run(channels.client, 0, { signal: controller.signal })
  home.host.start()
  t.is(home.host.waiting, 'waiting: 1 of 2 clients needed to begin')
  controller.abort(new Error('enough'))
  await t.throwsAsync(ran, { message: 'enough' })
  await served
  const { SplitClient } = await import('../../src/federation/split-client.ts')
  const { queued } = await import('../../src/compute/remote.ts')
  const impatient = new SplitClient(queued(ada.trainer), { charter, silenceMs: 30, holdoutRows: 0, testRows: 0 })
  await t.throwsAsync(impatient.run(channelPair({ client: 'ada', host: 'mute' }).client, 0), { instanceOf: DeadlineError, message: /mute/ })
  await home.host.stop()
})

test.serial('a returning client takes the place of its old attachment', async t => {
  const charter = charterFor(1)
  const home = makeHost(backend, charter)
  const seen = collect<{ client: string, returning: boolean }>(home.host, 'client:attached')
  const ada = makeClient(backend, charter, data('ada'))
  const old = attach(home, ada, charter)
  home.host.start()
  await until(ada.client, 'step:done')
  const again = attach(home, ada, charter)
  await t.throwsAsync(old.ran, { instanceOf: ProtocolError })
  t.regex(await old.served, /replaced/)
  await t.notThrowsAsync(again.ran)
  t.deepEqual(seen, [{ client: 'ada', returning: false }, { client: 'ada', returning: true }])
  t.is(home.host.step, 6)
  await home.host.stop()
})

for (const { id, frames } of [
  { id: 'a host\'s frame', frames: [{ kind: 'features', step: 0, tensors: [] }] },
  { id: 'activations of another width', frames: [{ kind: 'forward', step: 0, tensors: [{ name: 'activations', tensor: { shape: [6, 4, 7], data: new Float32Array(168) } }] }] },
  { id: 'no activations', frames: [{ kind: 'forward', step: 0, tensors: [] }] },
  {
    id: 'gradients of another shape',
    frames: [
      { kind: 'forward', step: 0, tensors: [{ name: 'activations', tensor: { shape: [2, 4, 8], data: new Float32Array(64).fill(0.1) } }] },
      { kind: 'grads', step: 0, tensors: [{ name: 'client', tensor: { shape: [3, 4, 8], data: new Float32Array(96) } }] }
    ]
  },
  {
    id: 'no gradients',
    frames: [
      { kind: 'forward', step: 0, tensors: [{ name: 'activations', tensor: { shape: [2, 4, 8], data: new Float32Array(64).fill(0.1) } }] },
      { kind: 'grads', step: 0, tensors: [] }
    ]
  },
  {
    id: 'a shared unit before any gradient',
    frames: [
      { kind: 'forward', step: 0, tensors: [{ name: 'activations', tensor: { shape: [2, 4, 8], data: new Float32Array(64).fill(0.1) } }] },
      { kind: 'share', step: 0, tensors: [] }
    ]
  },
  {
    id: 'a gradient of a unit that is not shared',
    frames: [
      { kind: 'forward', step: 0, tensors: [{ name: 'activations', tensor: { shape: [2, 4, 8], data: new Float32Array(64).fill(0.1) } }] },
      { kind: 'share', step: 0, tensors: [{ name: 'trunk', tensor: { shape: [2], data: new Float32Array(2) } }] }
    ]
  }
] satisfies Array<{ id: string, frames: Frame[] }>) {
  test.serial(`a client that lies is let go, and the host serves the next one: ${id}`, async t => {
    const charter = charterFor(1)
    const home = makeHost(backend, charter)
    const liar = { client: 'liar', name: 'liar', model: makeClient(backend, charter, data('ada')).request.model, tasks: ['side'], cut: [4, 8], samples: 1, batch: 2 }
    const channels = channelPair({ client: 'liar', host: 'host' })
    const served = home.host.serve(liar, channels.host)
    home.host.start()
    const replies = channels.client.frames[Symbol.asyncIterator]()
    for (const [i, frame] of frames.entries()) {
      await channels.client.send(frame)
      if (i < frames.length - 1) await nextOf(replies, 'features')
    }
    t.not(await served, 'the connection closed')
    t.is(home.host.attached, 0)
    const honest = attach(home, makeClient(backend, charter, data('ada')), charter)
    await t.notThrowsAsync(honest.ran)
    t.is(home.host.step, 6)
    await home.host.stop()
  })
}

test.serial('a client of rows in plenty gets no more rows in the projection than the charter gives a client', async t => {
  const charter = charterFor(1, { projection: { unit: 'client' } })
  const home = makeHost(backend, charter)
  const activations = { shape: [2, 4, 8], data: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)) }
  await forwardAlone(home.trainer, 'greedy', 0, activations)
  const tensor = { shape: [2, 4, 8], data: Float32Array.from({ length: 64 }, (_, i) => Math.cos(i)) }
  const many = ['side', 'level', 'mask'].map(task => ({ name: `task/${task}`, tensor }))
  await t.throwsAsync(backwardAlone(home.trainer, 'greedy', 0, many), { instanceOf: ProtocolError })
  home.trainer.dispose()
})

test.serial('a gradient of a shared unit that is not a number does not reach the unit', async t => {
  const charter = charterFor(2, { model: { sharedEmbedder: true } })
  const { trainer } = makeHost(backend, charter)
  const activations = { shape: [2, 4, 8], data: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)) }
  const size = trainer.unitSizes()['embed/image'] as number
  for (const [client, value] of [['ada', 0.1], ['eve', Number.NaN]] as const) {
    await forwardAlone(trainer, client, 0, activations)
    await backwardAlone(trainer, client, 0, [{ name: 'client', tensor: activations }])
    try {
      trainer.share(client, 0, [{ name: 'embed/image', tensor: { shape: [size], data: new Float32Array(size).fill(value) } }])
    } catch (error) {
      t.true(error instanceof ProtocolError)
    }
  }
  trainer.applyStep(0, ['ada', 'eve'])
  for (const [name, values] of Object.entries(byName(trainer.save()))) t.true(values.every(Number.isFinite), name)
  trainer.dispose()
})

test.serial('a host admits only what its charter says, with a reason', async t => {
  const charter = charterFor(1)
  const { host } = makeHost(backend, charter, { slots: 1 })
  const good = makeClient(backend, charter, data('ada')).request
  t.true('session' in host.admit(good))
  for (const [code, change] of [
    ['MODEL', { model: 'ffffffffffffffff' }], ['TASK', { tasks: ['side', 'unheard'] }], ['SHAPE', { cut: [4, 9] }], ['BATCH', { batch: 100_000 }]
  ] as const) {
    const answer = host.admit({ ...good, ...change })
    t.like(answer, { code })
    t.regex((answer as { reason: string }).reason, /^[^\n]{10,}$/)
  }
  const there = until(host, 'client:attached')
  void host.serve(good, channelPair({ client: 'ada', host: 'host' }).host)
  await there
  t.like(host.admit({ ...good, client: 'ben' }), { code: 'FULL' })
  t.true('session' in host.admit(good), 'a client that comes back needs no second slot')
})

test.serial('two hosts share an embedder: every client ends with the same one', async t => {
  const charter = charterFor(1, { model: { sharedEmbedder: true }, merge: { mode: 'all' } })
  const hub = new ExchangeHub(['h1', 'h2'])
  const hosts = ['h1', 'h2'].map(id => makeHost(backend, { ...charter, clock: { ...charter.clock, quorum: id === 'h1' ? 2 : 1 } }, { id, exchange: hub.exchangeOf(id) }))
  const clients = THREE.map(({ id }) => makeClient(backend, charter, data(id)))
  const told = clients.map(({ client }) => {
    const losses: number[] = []
    client.addEventListener('step:done', ({ detail }) => { losses.push(detail.losses.length) })
    return losses
  })
  const attached = clients.map((client, i) => attach(hosts[i % 2] as typeof hosts[number], client, charter))
  for (const { host } of hosts) host.start()
  await Promise.all(attached.map(({ ran }) => ran))
  for (const losses of told) t.true(losses.length > 0 && losses.every(count => count > 0), 'every step says its losses')
  t.is(hosts[0]?.trainer.fingerprint(), hosts[1]?.trainer.fingerprint())
  const [first, ...others] = clients.map(({ trainer }) => byName(trainer.save())['embed/image'] as Float32Array)
  for (const other of others) t.deepEqual(other, first)
  t.deepEqual(byName(hosts[0]?.trainer.save() ?? [])['embed/image'], first)
  for (const { host } of hosts) await host.stop()
})
