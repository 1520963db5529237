/** What hosts tell and sites send under every method: nothing that the charter does not foresee gets as far as the method. */
import test from 'ava'
import { ContentGuard } from '../../src/backbone/guard.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { MethodModel } from '../../src/methods/site.ts'
import { ProtocolError } from '../../src/errors.ts'
import { backendOn } from '../helpers/rungs.ts'
import * as compression from '../../src/compression/index.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { encodeFrame } from '../../protocols/split-step/messages.ts'
import { exchangeOf } from '../../src/methods/index.ts'
import { findStrategy, settingsOf, strategies } from '../../src/strategies/index.ts'
import { gaussianSites } from '../helpers/gaussian-sites.ts'
import { vector } from '../../src/training/saved-state.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

const backend = await backendOn('wasm')
const SITES = gaussianSites(1, 2, [20, 8, 8])
const DATA = await SITES.client(SITES.clientIds[0] as string)
/** Options that suit two sites of a table, where a method needs some. */
const METHODS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = { cofed: { public: { rows: 16, seed: 1 } }, 'split-mix-robust': { attackSteps: 1 }, fedrbn: { attackSteps: 1, pnc: 0.5, adversaries: 1 } }

function charterOf (strategy: string, method: Readonly<Record<string, unknown>> = {}): Charter {
  return createCharter({
    name: strategy,
    seed: 1,
    input: SITES.input,
    tasks: SITES.tasks,
    ...settingsOf(findStrategy(strategy), {}, {
      model: { width: 16, layers: 1, heads: 4, hidden: 16, embedder: { kind: 'row' }, ...strategy === 'fed-prompt' ? { attention: true } : {} },
      training: { rounds: 1, localSteps: 2, batch: 8, warmup: 1 },
      method: { ...METHODS[strategy], ...method }
    })
  })
}

function siteOf (charter: Charter): MethodModel { return new MethodModel(backend, { charter, data: DATA, seat: { rank: 0, of: 2 }, guard: new ContentGuard(), start: [] }) }

/** As clients are called on the wire. */
const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'

/** A host that has heard one site for one step: what it tells. */
async function toldIn (charter: Charter, sent: readonly NamedTensor[]): Promise<readonly NamedTensor[]> {
  const host = new HostTrainer(backend, charter)
  host.contribute(PEER, 0, 20, sent)
  host.applyMean(0, [PEER])
  const told = host.told(PEER, 1)
  host.dispose()
  return told
}

for (const { name } of strategies.filter(({ method }) => method !== undefined)) {
  test.serial(`${name}: a site takes what its host tells, and refuses other names and sizes without any harm`, async t => {
    const charter = charterOf(name)
    const site = siteOf(charter)
    const { sent } = await site.method.contribute(0)
    const told = await toldIn(charter, sent)
    for (const tensors of [sent, told]) t.notThrows(() => encodeFrame({ kind: 'share', step: 0, tensors }, 'f32', compression), 'every name can travel')
    await site.receive(1, told)
    const held = site.units.map(({ parameters }) => parameters.slice())
    const [first] = told as [NamedTensor]
    const { name: known, tensor: { data } } = first
    for (const wrong of [vector('stranger', new Float32Array(3)), vector(known, data.subarray(1)), vector(known, new Float32Array(data.length + 1)), vector(known, new Float32Array(0))]) {
      await t.throwsAsync(site.receive(1, [wrong, ...told.slice(1)]), { instanceOf: ProtocolError }, `${wrong.name} of ${wrong.tensor.data.length}`)
    }
    await t.throwsAsync(site.receive(1, [first, ...told]), { instanceOf: ProtocolError, message: /twice/ })
    t.deepEqual(site.units.map(({ parameters }) => parameters.slice()), held)
    site.dispose()
  })
}

for (const { id, strategy, method, send, message } of [
  { id: 'a hidden layer without its biases', strategy: 'hyfem', send: (sent: readonly NamedTensor[]) => sent.filter(({ name }) => name !== 'fusion/bias'), message: /without fusion\/bias/ },
  { id: 'the name of a base and no factors for it', strategy: 'flora', method: { warm: 0 }, send: (sent: readonly NamedTensor[]) => sent.filter(({ name }) => name === 'peft/base'), message: /not those of all/ },
  { id: 'classes of less than no rows', strategy: 'mupfl', send: (sent: readonly NamedTensor[]) => sent.map(({ name, tensor }) => name.startsWith('class-counts/') ? vector(name, tensor.data.map(() => -5)) : { name, tensor }), message: /negative counts/ }
] as const) {
  test.serial(`${strategy}: a host refuses ${id}`, async t => {
    const charter = charterOf(strategy, method)
    const site = siteOf(charter)
    const host = new HostTrainer(backend, charter)
    const { sent } = await site.method.contribute(0)
    t.throws(() => { host.contribute(PEER, 0, 20, send(sent)) }, { instanceOf: ProtocolError, message })
    t.notThrows(() => { host.contribute(PEER, 0, 20, sent) })
    host.dispose()
    site.dispose()
  })
}

test.serial('fesem: a site that is not told all centres looks for no nearest one', async t => {
  const charter = charterOf('fesem')
  const site = siteOf(charter)
  const all = [...exchangeOf(charter).units].map(([name, { parameterCount }]) => vector(name, new Float32Array(parameterCount)))
  await t.throwsAsync(site.receive(1, all.slice(1)), { instanceOf: ProtocolError, message: /did not tell center\/0/ })
  site.dispose()
})
