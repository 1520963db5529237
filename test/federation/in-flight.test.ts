/** Several steps of a client under way at once. */
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { attach, makeClient, makeHost, smallCharter, until } from '../helpers/federation.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { backendOn } from '../helpers/rungs.ts'
import { clientData, syntheticDataset, THREE } from '../helpers/synthetic.ts'
import { simulate } from '../../src/federation/simulator.ts'

const backend = await backendOn('wasm')
const dataset = syntheticDataset({ clients: THREE, rows: [32, 8, 24] })
const training = { rounds: 4, stepsPerRound: 5, batch: 12, lrTrunk: 1e-2, lrClient: 1e-2, lrLocal: 1e-2, weightDecay: 0 }

test.serial('activations of the next steps travel before the gradients of this one, and training works', async t => {
  const before = backend.liveTensors()
  const lossAfter = async (inFlight: number): Promise<number> => {
    const frames: string[] = []
    const { clients, rounds } = await simulate({
      charter: smallCharter(dataset.tasks, { training: { ...training, inFlight } }),
      dataset,
      backend,
      hosts: ['host'],
      clients: dataset.clientIds,
      control: false,
      onFrame: (client, { kind, step }) => { if (client === 'ada') frames.push(`${kind} ${step}`) }
    })
    t.deepEqual(rounds.map(({ steps, contributors, missing }) => [steps, contributors.length, missing.length]), Array.from({ length: 4 }, () => [5, 3, 0]))
    const ahead = frames.slice(0, frames.indexOf('grads 0')).filter(frame => frame.startsWith('forward'))
    t.deepEqual(ahead, Array.from({ length: inFlight }, (_, step) => `forward ${step}`))
    t.is(frames.filter(frame => frame.startsWith('grads')).length, 20)
    t.is(frames.filter(frame => frame.startsWith('forward')).length, 20, 'none is sent twice, none after the last step')
    const losses = clients.flatMap(({ tasks }) => tasks.map(({ scores }) => scores.federated?.all.loss as number))
    return losses.reduce((sum, loss) => sum + loss, 0) / losses.length
  }
  const [one, three] = [await lossAfter(1), await lossAfter(3)]
  t.log(`federated loss after 20 steps: ${one.toFixed(3)} with one step in flight, ${three.toFixed(3)} with three`)
  t.true(three < 1.15 * one)
  t.is(backend.liveTensors(), before)
})

/** Seconds of 16 steps where every frame is 30 ms on its way. */
async function overSlowLink (inFlight: number): Promise<number> {
  const charter = smallCharter(dataset.tasks, { training: { rounds: 1, stepsPerRound: 20, batch: 6, warmup: 2, inFlight } })
  const home = makeHost(backend, charter)
  const { client, request } = makeClient(backend, charter, clientData({ id: 'ada', tasks: dataset.tasks }), {}, false)
  const channels = channelPair({ client: 'ada', host: 'host' })
  for (const end of [channels.client, channels.host]) {
    const send = end.send.bind(end)
    end.send = async frame => { setTimeout(() => { send(frame).catch(() => undefined) }, 30) } // the other end may have gone meanwhile
  }
  const at = new Map<number, number>()
  home.host.addEventListener('step:done', ({ detail: { step } }) => { at.set(step, performance.now()) })
  const served = home.host.serve(request, channels.host)
  const ran = client.run(channels.client, 0)
  home.host.start()
  await Promise.all([ran, served])
  await home.host.stop()
  return ((at.get(19) as number) - (at.get(3) as number)) / 1000
}

test.serial('over a slow link four steps in flight hide three of its four ways', async t => {
  const [one, two, four] = [await overSlowLink(1), await overSlowLink(2), await overSlowLink(4)]
  t.log(`16 steps at 30 ms a way: ${one.toFixed(2)} s one by one, ${two.toFixed(2)} s with two in flight, ${four.toFixed(2)} s with four`)
  t.true(one > 16 * 0.12)
  t.true(two < 0.7 * one)
  t.true(four < 0.4 * one)
})

test.serial('a client that misses a step with others in flight goes on at the clock\'s step', async t => {
  const charter = smallCharter(dataset.tasks, { training: { rounds: 2, stepsPerRound: 4, batch: 6, warmup: 2, inFlight: 2 }, clock: { quorum: 2, stepDeadlineMs: 80 } })
  const home = makeHost(backend, charter)
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const slow = makeClient(backend, charter, clientData({ id: 'ben', tasks: dataset.tasks }), { backward: async step => { if (step === 2) await gate } })
  const quick = makeClient(backend, charter, clientData({ id: 'ada', tasks: dataset.tasks }))
  const skipped: Array<{ from: number, to: number }> = []
  slow.client.addEventListener('step:skipped', ({ detail }) => { skipped.push(detail) })
  const attachments = [attach(home, quick, charter), attach(home, slow, charter)]
  const past = until<{ step: number }>(home.host, 'step:done', ({ step }) => step === 2)
  home.host.start()
  await past
  open()
  await Promise.all(attachments.map(async ({ ran }) => await ran))
  await home.host.finished
  t.is(home.host.step, 8)
  t.true(skipped.length > 0 && skipped.every(({ from, to }) => to > from), JSON.stringify(skipped))
  await home.host.stop()
})

test.serial('activations of more steps ahead than the charter allows end the attachment', async t => {
  const charter = smallCharter(dataset.tasks, { clock: { quorum: 5 } })
  const home = makeHost(backend, charter)
  const { request, trainer } = makeClient(backend, charter, clientData({ id: 'ada', tasks: dataset.tasks }))
  const channels = channelPair({ client: 'ada', host: 'host' })
  const served = home.host.serve(request, channels.host)
  const activations = await trainer.forward(0)
  for (let step = 0; step < 5; step++) await channels.client.send({ kind: 'forward', step, tensors: [{ name: 'activations', tensor: activations }] }).catch(() => undefined)
  t.regex(await served, /ada sent the activations of 3 steps ahead of the clock/)
  trainer.dispose()
})

test('shared units are exchanged between two steps: no second one can be in flight', t => {
  t.throws(() => smallCharter(dataset.tasks, { model: { sharedEmbedder: true }, training: { inFlight: 2 } }), { instanceOf: InvalidParametersError, message: /inFlight/ })
  for (const inFlight of [0, 1.5, 9]) t.throws(() => smallCharter(dataset.tasks, { training: { inFlight } }), { instanceOf: InvalidParametersError, message: /inFlight/ })
})
