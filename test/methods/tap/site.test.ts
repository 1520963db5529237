/** What a site of TAP keeps, replaces, sends and hears of, step by step. */
import test from 'ava'
import { charterBy, oneHost } from '../../helpers/charters.ts'
import { ContentGuard } from '../../../src/backbone/guard.ts'
import { Random } from '../../../src/random.ts'
import { SavedState, saveUnit } from '../../../src/training/saved-state.ts'
import { TapHost } from '../../../src/methods/tap/host.ts'
import { TapSite } from '../../../src/methods/tap/site.ts'
import { WANTS, modulesOf } from '../../../src/methods/tap/exchange.ts'
import { Weights } from '../../../src/training/unit.ts'
import { backendOn } from '../../helpers/rungs.ts'
import { byName } from '../../helpers/tensors.ts'
import { clipped, itsTurn, moved } from '../../../src/methods/tap/rules.ts'
import { drawBatch } from '../../../src/training/batches.ts'
import { exchangeOf, trafficOf } from '../../../src/methods/index.ts'
import { modulePath, ownModules } from '../../../src/models/modular.ts'
import { picturesAndTexts } from '../../helpers/several.ts'
import { simulate } from '../../../src/federation/simulator.ts'
import { tapOptions } from '../../../src/methods/tap/options.ts'
import type { Charter } from '../../../src/federation/charter.ts'
import type { ClientData } from '../../../src/data/dataset.ts'
import type { Frame } from '../../../src/backbone/frames.ts'
import type { NamedTensor } from '../../../src/tensor/tensor.ts'
import type { Seat } from '../../../src/methods/index.ts'

const backend = await backendOn('wasm')
const dataset = picturesAndTexts()
const ada = await dataset.client('ada')
const tom = await dataset.client('tom')

function charterOf (method: Readonly<Record<string, unknown>> = {}, training: Readonly<Record<string, unknown>> = {}): Charter {
  return charterBy('tap', dataset, {
    seed: 4,
    model: { width: 8, layers: 1, heads: 2, hidden: 12, embedder: { kind: 'patches', patch: 4 } },
    training: { rounds: 4, localSteps: 2, batch: 6, lrLocal: 0.01, ...training },
    method: { tuneSteps: 2, ...method }
  })
}

function siteOf (charter: Charter, data: ClientData, seat: Seat = { rank: 0, of: 1 }): TapSite {
  const { name, ...options } = charter.method as { name: string }
  const batch = (step: number): ReturnType<typeof drawBatch> => drawBatch(data.train, data.input, { size: 6, seed: 1, step, shift: 0 })
  return new TapSite({ backend, charter, data, seat, batch, protect: () => {} }, tapOptions(options))
}

const valuesOf = (site: TapSite): Record<string, number[]> => Object.fromEntries(site.units.map(({ name, parameters }) => [name, [...parameters]]))
const told = (site: TapSite): NamedTensor[] => site.units.filter(({ name }) => !name.startsWith('personal/')).map(({ name, parameters }) => ({ name, tensor: { shape: [parameters.length], data: parameters.slice() } }))

test.serial('a site has the modules on its tasks\' paths; hosts hold all of them', t => {
  const charter = charterOf()
  const [pictures, texts] = [siteOf(charter, ada), siteOf(charter, tom)]
  const agreed = (site: TapSite): string[] => site.units.map(({ name }) => name).filter(name => !name.startsWith('personal/')).sort()
  t.deepEqual(agreed(pictures), [...new Set(['side', 'level'].flatMap(task => modulePath(['image'], task)))].sort())
  t.deepEqual(agreed(texts), [...modulePath(['tokens'], 'topic')].sort())
  t.deepEqual([...exchangeOf(charter).units.keys()].sort(), [...new Set([...agreed(pictures), ...agreed(texts)])].sort())
  t.deepEqual(valuesOf(pictures)['trunk/shared'], valuesOf(texts)['trunk/shared'])
  t.deepEqual(valuesOf(pictures)['personal/trunk/shared'], valuesOf(pictures)['trunk/shared'])
  for (const site of [pictures, texts]) site.dispose()
})

test.serial('the first time everything is replaced, by copies: training the personal model moves nothing else', async t => {
  const site = siteOf(charterOf(), ada)
  const start = valuesOf(site)
  const { sent } = await site.contribute(0)
  const after = valuesOf(site)
  t.deepEqual([...byName(site.save())['tap/replaced'] as ArrayLike<number> as Float32Array], [2, 0, 0, 0])
  for (const { name, tensor } of sent) {
    if (name === WANTS) continue
    after[name]?.forEach((value, i) => { if (Math.abs(value - (start[name]?.[i] as number) - (tensor.data[i] as number)) > 1e-6) t.fail(`${name}: what is sent is what the agreed model learnt`) })
    t.notDeepEqual(after[`personal/${name}`], after[name], name)
  }
  site.dispose()
})

test.serial('a personal model that does better stays: not a bit of it is replaced', async t => {
  const [never, always] = [siteOf(charterOf({ margin: 1e9, smallMargin: 1e9 }), ada), siteOf(charterOf({ margin: 1e9, smallMargin: 1e9 }), ada)]
  for (const site of [never, always]) await site.contribute(0)
  // Told of another agreed model: the personal one goes on as if nothing had been told, on the same batches.
  const random = new Random(3)
  await never.receive(1, told(never).map(({ name, tensor }) => ({ name, tensor: { ...tensor, data: tensor.data.map(value => value + 0.1 * random.normal()) } })))
  await never.contribute(1)
  await always.contribute(1)
  const personal = (site: TapSite): Array<[string, number[]]> => Object.entries(valuesOf(site)).filter(([name]) => name.startsWith('personal/'))
  t.deepEqual(personal(never), personal(always))
  t.deepEqual([...byName(never.save())['tap/replaced'] as ArrayLike<number> as Float32Array], [2, 0, 0, 0])
  for (const site of [never, always]) site.dispose()
})

test.serial('what no other task passes through is all that is copied where the options say so', async t => {
  // At rate 0 nothing learns: what differs from before has been copied.
  const site = siteOf(charterOf({ copies: 'own', clip: 0 }, { lrLocal: 0 }), ada)
  const random = new Random(5)
  await site.receive(0, told(site).map(({ name, tensor }) => ({ name, tensor: { ...tensor, data: tensor.data.map(() => random.normal()) } })))
  await site.contribute(0)
  const values = valuesOf(site)
  const copied = ['side', 'level'].flatMap(task => ownModules(['image'], task))
  for (const name of Object.keys(values).filter(name => !name.startsWith('personal/'))) {
    if (copied.includes(name)) t.deepEqual(values[`personal/${name}`], values[name], name)
    else t.notDeepEqual(values[`personal/${name}`], values[name], name)
  }
  site.dispose()
})

test.serial('stage 2 starts from the same state however often it is asked for, and leaves that state as it was', async t => {
  const site = siteOf(charterOf(), tom)
  await site.contribute(0)
  const before = valuesOf(site)
  const first = await predicted(site)
  t.deepEqual(await predicted(site), first)
  t.deepEqual(valuesOf(site), before)
  t.deepEqual([...site.variants().keys()], ['agreed', 'agreed, tuned', 'stage 1'])
  site.dispose()

  async function predicted (site: TapSite): Promise<number[]> {
    await site.finish()
    return [...(await site.predict(tom.test)).get('topic')?.data ?? []]
  }
})

test.serial('a site whose turn it is not sends what it must hear of, and nothing else', async t => {
  const charter = charterOf({ share: 0.5 })
  const seats = [0, 1].map(rank => ({ rank, of: 2 }))
  for (let step = 0; step < 4; step++) t.is(seats.filter(seat => itsTurn(charter.seed, step, seat, 0.5)).length, 1)
  const idle = seats.find(seat => !itsTurn(charter.seed, 0, seat, 0.5)) as Seat
  const site = siteOf(charter, tom, idle)
  const before = valuesOf(site)
  const { sent, losses } = await site.contribute(0)
  t.deepEqual([sent.map(({ name }) => name), losses], [[WANTS], []])
  t.deepEqual(valuesOf(site), before)
  const wanted = [...modulesOf(charter).keys()].filter((_, i) => sent[0]?.tensor.data[i] === 1)
  t.deepEqual(wanted.sort(), itsTurn(charter.seed, 1, idle, 0.5) ? [...modulePath(['tokens'], 'topic')].sort() : [])
  site.dispose()
})

test('a host tells a site the modules that it asked for, and all of them where it has not heard of it', t => {
  const charter = charterOf()
  const graphs = modulesOf(charter)
  const units = new Map([...graphs].map(([name, graph]) => [name, new Weights(name, graph, { seed: 1, training: charter.training, rate: 0, optimiser: 'sgd' })]))
  const host = new TapHost({ charter, units })
  const names = [...graphs.keys()]
  const wants = Float32Array.from(names, name => name === 'head/topic' ? 1 : 0)
  const size = exchangeOf(charter).up.get('head/topic') as number
  const change = new Float32Array(size).fill(0.5)
  const before = units.get('head/topic')?.parameters.slice() as Float32Array
  host.apply(0, [
    { client: 'a', samples: 30, row: new Float32Array(size + names.length), units: new Set(), tensors: new Map([['head/topic', change], [WANTS, wants]]) },
    { client: 'b', samples: 10, row: new Float32Array(size + names.length), units: new Set(), tensors: new Map([[WANTS, new Float32Array(names.length)]]) }
  ])
  t.deepEqual(units.get('head/topic')?.parameters, before.map(value => value + 0.5))
  t.deepEqual(host.told('a', 1).map(({ name }) => name), ['head/topic'])
  t.deepEqual(host.told('b', 1), [])
  t.is(host.told('a', 2).length, names.length, 'what it said was about another step')
  t.is(host.told('c', 1).length, names.length)
})

test.serial('a site is done with stage 1 when what it is told no longer moves, also after a restart', async t => {
  const charter = charterOf({ tolerance: 0.01, patience: 2 })
  const still = siteOf(charter, tom)
  const values = told(still)
  for (let step = 0; step < 2; step++) {
    await still.receive(step, values)
    await still.receive(step, values) // once more after a reconnect
    t.true((await still.contribute(step)).sent.length > 1, `step ${step}`)
  }
  const saved = [...still.units.flatMap(unit => saveUnit(unit.name, unit)), ...still.save()]
  const again = siteOf(charter, tom)
  again.load(new SavedState(saved))
  for (const site of [still, again]) {
    await site.receive(2, values)
    t.deepEqual((await site.contribute(2)).sent.map(({ name }) => name), [WANTS])
    site.dispose()
  }
})

test.serial('nothing of the personal model leaves: no frame holds a stretch of it, and the guard knows it', async t => {
  const frames: Frame[] = []
  const personal: Float32Array[] = []
  const guard = new ContentGuard()
  const charter = charterOf({ share: 0.5 })
  await simulate(oneHost({
    charter,
    dataset,
    backend,
    onFrame: (_, frame) => { frames.push(structuredClone(frame)) },
    onTrainers: async (at, { clients }) => {
      if (at === 'end') for (const trainer of clients.values()) for (const { name, tensor } of await trainer.save()) if (name.startsWith('personal/') && !/\.(first|second|step)$/.test(name)) personal.push(tensor.data)
    }
  }))
  const known = new Set(charter.shared)
  for (const { tensors } of frames) for (const { name } of tensors) t.true(known.has(name), name)
  t.true(personal.length > 20)
  // Any three neighbours of a personal weight vector that are no constants, searched for in all that was sent.
  const windows = new Set<string>()
  for (const { tensors } of frames) for (const { tensor: { data } } of tensors) for (let i = 0; i + 3 <= data.length; i++) windows.add(data.subarray(i, i + 3).join())
  for (const data of personal) {
    for (let i = 0; i + 3 <= data.length; i++) {
      const window = data.subarray(i, i + 3)
      if (new Set(window).size === 3 && windows.has(window.join())) t.fail('a stretch of a personal model was sent')
    }
  }
  for (const data of personal) guard.protect('the personal model', data)
  for (const { tensors } of frames) for (const { name, tensor } of tensors) guard.check(name, tensor.data)
  t.pass()
})

test.serial('a plan counts the modules of the largest site, in the steps that are its turn', async t => {
  const charter = charterOf({ share: 0.5 })
  const site = siteOf(charter, ada)
  const modules = told(site).reduce((sum, { tensor }) => sum + tensor.data.length, 0)
  t.deepEqual(trafficOf(charter), { up: 0.5 * modules + modulesOf(charter).size, down: 0.5 * modules })
  site.dispose()
})

test('gradients are clipped together, and movement is a share of the length', t => {
  const gradients = [Float32Array.of(3, 0), Float32Array.of(0, 4)]
  clipped(gradients, 10)
  t.deepEqual(gradients.flatMap(gradient => [...gradient]), [3, 0, 0, 4])
  clipped(gradients, 1)
  gradients.flatMap(gradient => [...gradient]).forEach((value, i) => { t.true(Math.abs(value - ([0.6, 0, 0, 0.8][i] as number)) < 1e-6) })
  t.is(moved(Float32Array.of(3, 4), Float32Array.of(3, 4)), 0)
  t.is(moved(Float32Array.of(3, 4), Float32Array.of(3, 5)), 0.2)
  t.is(moved(new Float32Array(0), Float32Array.of(1)), Infinity)
})

for (const [raw, message] of [
  [{ share: 0 }, /method.share must be a number above 0 and up to 1/],
  [{ copies: 'all' }, /method.copies must be path or own/],
  [{ margins: 1 }, /method.margins is no option of tap/],
  [{ patience: 0 }, /method.patience must be a whole number from 1/]
] as const) {
  test(`is refused: ${JSON.stringify(raw)}`, t => { t.throws(() => charterOf(raw), { message }) })
}
