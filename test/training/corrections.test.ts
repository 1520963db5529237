/** Shared heads with a private correction: what leaves, what stays, and that nothing changes before it has learnt. */
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { LEVEL, MASK, SIDE, clientData } from '../helpers/synthetic.ts'
import { attach, makeClient, makeHost, smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName } from '../helpers/tensors.ts'
import { charterHash, readCharter } from '../../src/federation/charter.ts'
import { estimateClient } from '../../src/training/memory.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { Frame } from '../../src/backbone/frames.ts'

const backend = await backendOn('wasm')
const TASKS = [MASK, SIDE]
const site = (id: string): ClientData => clientData({ id, tasks: TASKS })

function charterOf (correctedHeads: unknown): Charter {
  return smallCharter(TASKS, { model: { sharedEmbedder: true, sharedHeads: 'all', correctedHeads }, training: { rounds: 1, stepsPerRound: 3 }, clock: { quorum: 2 } })
}

async function end (charter: Charter): Promise<{ clients: ReadonlyArray<Readonly<Record<string, Float32Array>>>, host: Readonly<Record<string, Float32Array>>, frames: readonly Frame[] }> {
  const home = makeHost(backend, charter)
  const frames: Frame[] = []
  const clients = ['ada', 'ben'].map(id => makeClient(backend, charter, site(id)))
  const attached = clients.map(client => attach(home, client, charter, frame => { frames.push(frame) }))
  home.host.start()
  await Promise.all(attached.map(({ ran }) => ran))
  await home.host.stop()
  return { clients: clients.map(({ trainer }) => byName(trainer.save())), host: byName(home.trainer.save()), frames }
}

test.serial('heads are one, corrections differ from client to client and stay there', async t => {
  const { clients: [ada, ben], host, frames } = await end(charterOf('all'))
  for (const { id } of TASKS) {
    t.deepEqual([ada?.[`head/${id}`], ben?.[`head/${id}`]], [host[`head/${id}`], host[`head/${id}`]])
    const correction = ada?.[`correction/${id}`] as Float32Array
    t.true(correction.some(value => value !== 0), id)
    t.notDeepEqual(correction, ben?.[`correction/${id}`], id)
    t.is(host[`correction/${id}`], undefined)
  }
  t.deepEqual([...new Set(frames.flatMap(({ tensors }) => tensors.map(({ name }) => name)))].filter(name => name.startsWith('correction')), [])
})

test.serial('it starts at 0: the first step is the same with it and without', async t => {
  const first = async (correctedHeads: unknown): Promise<Record<string, unknown>> => {
    const charter = charterOf(correctedHeads)
    const { trainer } = makeClient(backend, charter, site('ada'))
    const activations = await trainer.forward(0)
    const { losses, featureGrads } = await trainer.backward(0, activations)
    trainer.dispose()
    return { losses, featureGrads }
  }
  t.deepEqual(await first('all'), await first([]))
})

test('a charter without corrections is what it was; with them, it can be read back, and its clients need more room', t => {
  const [none, some] = [charterOf([]), charterOf(['side'])]
  t.is(charterHash(none), charterHash(smallCharter(TASKS, { model: { sharedEmbedder: true, sharedHeads: 'all' }, training: { rounds: 1, stepsPerRound: 3 } })))
  t.not(charterHash(some), charterHash(none))
  t.deepEqual(readCharter(structuredClone(some)), some)
  t.deepEqual(charterOf('all').model.correctedHeads, ['mask', 'side'])
  t.true(estimateClient(some, site('ada'), 1).bytes > estimateClient(none, site('ada'), 1).bytes)
})

for (const { id, model } of [
  { id: 'of a private head', model: { sharedHeads: ['side'], correctedHeads: ['level'] } },
  { id: 'of a whole model', model: { trunk: 'client', sharedHeads: ['side'], correctedHeads: ['side'] } },
  { id: 'that is no list', model: { sharedHeads: ['side'], correctedHeads: 'side' } }
]) {
  test(`a correction is refused: ${id}`, t => {
    const error = t.throws(() => smallCharter([LEVEL, SIDE], { model }), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /^model\.correctedHeads[^\n]+$/)
  })
}
