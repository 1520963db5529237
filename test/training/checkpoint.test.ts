import test from 'ava'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { backendOn } from '../helpers/rungs.ts'
import { backwardAlone, forwardAlone, smallCharter } from '../helpers/federation.ts'
import { LEVEL, MASK, SIDE, clientData } from '../helpers/synthetic.ts'
import { weightingNames } from '../../src/weighting/index.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

const backend = await backendOn('wasm')
const TASKS = [LEVEL, MASK, SIDE]
const ada = clientData({ id: 'ada', tasks: [LEVEL, SIDE] })
const ben = clientData({ id: 'ben', tasks: [MASK] })

interface Pair { readonly clients: readonly ClientTrainer[], readonly host: HostTrainer }

function build (charter: Charter): Pair {
  return {
    clients: [ada, ben].map(data => new ClientTrainer(backend, charter, data, { control: true })),
    host: new HostTrainer(backend, charter)
  }
}

async function steps ({ clients, host }: Pair, from: number, to: number): Promise<void> {
  for (let step = from; step < to; step++) {
    for (const [i, client] of clients.entries()) {
      const { featureGrads } = await client.backward(step, await forwardAlone(host, String(i), step, await client.forward(step)))
      const shared = await client.finish(step, await backwardAlone(host, String(i), step, featureGrads))
      if (shared.length > 0) host.share(String(i), step, shared)
      await client.localStep(step)
    }
    host.applyStep(step, ['0', '1'])
    for (const client of clients) client.adopt(host.clientUnits())
    if (step % 2 === 1) { // a round's end: the outer momentum is part of the state
      const { units: delta } = host.delta()
      host.proposeMerge('merged', [{ id: 'h', weight: 1, units: delta }])
      host.accept('merged')
      for (const client of clients) client.adopt(host.clientUnits())
    }
  }
}

function prints ({ clients, host }: Pair): string[] { return [...clients.map(client => client.fingerprint()), host.fingerprint()] }

function dispose ({ clients, host }: Pair): void {
  for (const trainer of [...clients, host]) trainer.dispose()
}

/** As a file would give it back: nothing shared with the trainer that wrote it. */
function written (state: readonly NamedTensor[]): NamedTensor[] { return structuredClone([...state]) }

const SETTINGS: Array<{ id: string, changes: Partial<CharterOptions> }> = [
  { id: 'gp with history', changes: { model: { dropout: 0.2 }, projection: { rule: 'gp', attention: 'softmax-cos' } } },
  { id: 'steps made conflict-free', changes: { projection: { strict: 'update', unit: 'task' }, training: { shift: 1 } } },
  ...weightingNames.map(weighting => ({ id: `losses weighed by ${weighting}`, changes: { projection: { weighting }, training: { stepsPerRound: 2 } } })),
  { id: 'shared embedder', changes: { model: { sharedEmbedder: true, adapter: 2 } } }
]
for (const { id, changes } of SETTINGS) {
  for (const cut of [1, 2, 3]) { // within a round and at its end
    test.serial(`saved and loaded after step ${cut}, the run ends as if nothing had happened: ${id}`, async t => {
      const charter = smallCharter(TASKS, changes)
      const straight = build(charter)
      await steps(straight, 0, 5)
      const before = build(charter)
      await steps(before, 0, cut)
      const states = [...before.clients, before.host].map(trainer => written(trainer.save()))
      const atCut = prints(before)
      await steps(before, cut, cut + 1) // saving took copies
      dispose(before)
      const after = build(charter)
      ;[...after.clients, after.host].forEach((trainer, i) => trainer.load(states[i] as NamedTensor[]))
      t.deepEqual(prints(after), atCut)
      await steps(after, cut, 5)
      t.deepEqual(prints(after), prints(straight))
      t.deepEqual([...after.clients, after.host].map(trainer => trainer.save()), [...straight.clients, straight.host].map(trainer => trainer.save()))
      dispose(straight)
      dispose(after)
    })
  }
}

for (const [id, model] of [['wider', { width: 16 }], ['deeper', { layers: 2 }], ['with an adapter', { adapter: 4 }]] as const) {
  test.serial(`a checkpoint of another model is refused: ${id}`, t => {
    const [here, other] = [build(smallCharter(TASKS)), build(smallCharter(TASKS, { model }))]
    const refused = { instanceOf: InvalidParametersError, message: /^checkpoint: [^\n]+$/ }
    t.throws(() => { here.clients[0]?.load(other.clients[0]?.save() ?? []) }, refused)
    if (id !== 'with an adapter') t.throws(() => { here.host.load(other.host.save()) }, refused)
    t.throws(() => { here.clients[0]?.load(here.clients[1]?.save() ?? []) }, refused, 'another client\'s heads')
    t.throws(() => { here.host.load([]) }, refused)
    dispose(here)
    dispose(other)
  })
}

test.serial('a refused checkpoint changes nothing', t => {
  const { clients, host } = build(smallCharter(TASKS))
  const fingerprints = [clients[0]?.fingerprint(), host.fingerprint()]
  for (const trainer of [clients[0] as ClientTrainer, host]) {
    const state = written(trainer.save()).map(({ name, tensor }) => ({ name, tensor: { ...tensor, data: tensor.data.map(value => value + 1) } }))
    t.throws(() => { trainer.load(state.slice(0, -1)) }, { instanceOf: InvalidParametersError })
  }
  t.deepEqual([clients[0]?.fingerprint(), host.fingerprint()], fingerprints)
  dispose({ clients, host })
})

test.serial('fingerprints tell weights apart by one bit', t => {
  const { clients, host } = build(smallCharter(TASKS))
  const state = written(host.save())
  const before = host.fingerprint()
  const trunk = state.find(({ name }) => name === 'trunk')?.tensor.data as Float32Array
  new Uint32Array(trunk.buffer)[5]! ^= 1 // the last bit of one mantissa
  host.load(state)
  t.not(host.fingerprint(), before)
  dispose({ clients, host })
})
