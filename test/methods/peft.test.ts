/** Tuning with a frozen trunk through the whole system: what moves, what travels, who is turned away. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { charterBy, oneHost } from '../helpers/charters.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { LEVEL, SIDE, syntheticDataset } from '../helpers/synthetic.ts'
import { PeftPlan } from '../../src/methods/peft/plan.ts'
import { backendOn } from '../helpers/rungs.ts'
import { baseOf, namesOf } from '../../src/peft/base.ts'
import { byName } from '../helpers/tensors.ts'
import { factorsOf, stack } from '../../src/peft/factors.ts'
import { peftOptions } from '../../src/methods/peft/options.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { trafficOf } from '../../src/methods/index.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { Frame } from '../../src/backbone/frames.ts'

type State = Readonly<Record<string, Float32Array>>

const backend = await backendOn('wasm')
const IDS = ['ada', 'ben', 'cyd', 'dan']
const DATASET = syntheticDataset({ clients: IDS.map(id => ({ id, tasks: [SIDE, LEVEL] })), rows: [16, 6, 40] })
const WARM = 1
const STEPS = 4

function charterOf (method: Readonly<Record<string, unknown>>, changes: { model?: object, training?: object, merge?: object } = {}, dataset: Dataset = DATASET): Charter {
  return charterBy(method.kind === undefined ? 'fedit' : `fed-${String(method.kind)}`, dataset, {
    seed: 3,
    clock: { quorum: dataset.clientIds.length },
    model: { width: 8, layers: 2, heads: 2, hidden: 12, embedder: { patch: 4 }, ...changes.model },
    training: { rounds: STEPS, localSteps: 3, batch: 8, warmup: 2, ...changes.training },
    merge: changes.merge,
    method: { ...method.kind === undefined ? { rank: 4, alpha: 8 } : {}, warm: WARM, ...method }
  })
}

interface Run {
  readonly sites: Readonly<Record<string, State>>
  readonly hosts: Readonly<Record<string, State>>
  /** What each site sent, in order. */
  readonly shares: Readonly<Record<string, readonly Frame[]>>
}

async function run (charter: Charter, init: { hosts?: readonly string[], dataset?: Dataset, start?: Parameters<typeof simulate>[0]['onTrainers'] } = {}): Promise<Run> {
  const { hosts = ['host'], dataset = DATASET } = init
  const [sites, hostStates] = [new Map<string, State>(), new Map<string, State>()]
  const shares = Object.fromEntries(dataset.clientIds.map((id): [string, Frame[]] => [id, []]))
  await simulate(oneHost({
    charter,
    dataset,
    backend,
    hosts,
    onFrame: (client, frame) => { if (frame.kind === 'share') shares[client]?.push({ ...frame, tensors: frame.tensors.map(({ name, tensor }) => ({ name, tensor: { shape: tensor.shape, data: tensor.data.slice() } })) }) },
    onTrainers: async (at, trainers, now) => {
      if (at === 'start') return await init.start?.(at, trainers, now)
      for (const [id, trainer] of trainers.clients) sites.set(id, byName(await trainer.save()))
      for (const [id, trainer] of trainers.hosts) hostStates.set(id, byName(await trainer.save()))
    }
  }))
  return { sites: Object.fromEntries(sites), hosts: Object.fromEntries(hostStates), shares }
}

const unitsOf = (state: State, prefix: string): readonly string[] => Object.keys(state).filter(name => name.startsWith(prefix) && !/\.(?:first|second|step|anchor|velocity|momentum)$/.test(name))
const at = (state: State | undefined, name: string): Float32Array => state?.[name] as Float32Array

const KINDS: ReadonlyArray<{ readonly id: string, readonly method: Readonly<Record<string, unknown>>, readonly moves?: true }> = [
  { id: 'fedit', method: { rule: 'fedit' } },
  { id: 'ffa', method: { rule: 'ffa' } },
  { id: 'svd', method: { rule: 'svd' } },
  { id: 'zero padding at ranks 4, 2 and 1', method: { rule: 'zero-pad', ranks: [4, 2, 1] } },
  { id: 'svd at ranks 4, 2 and 1', method: { rule: 'svd', ranks: [4, 2, 1] } },
  { id: 'ffa at ranks 4, 2 and 1', method: { rule: 'ffa', ranks: [4, 2, 1] } },
  { id: 'flora at ranks 4, 2 and 1', method: { rule: 'flora', ranks: [4, 2, 1] }, moves: true },
  { id: 'flora with a stack of five rows at most', method: { rule: 'flora', rankMax: 5 }, moves: true },
  { id: 'adapters', method: { kind: 'adapter', bottleneck: 3 } },
  { id: 'a prompt', method: { kind: 'prompt', prompts: 2 } }
]

for (const { id, method, moves = false } of KINDS) {
  test.serial(`${id}: after the warm steps the trunk ${moves ? 'moves by stacks alone, the same at all' : 'stays what it was, at host and sites'}, and sites send adapters alone`, async t => {
    const charter = charterOf(method)
    const { sites, hosts: { host }, shares } = await run(charter)
    const bases = (shares.ada ?? []).slice(WARM).map(({ tensors }) => namesOf(at(byName(tensors), 'peft/base'))[0])
    if (moves) t.is(new Set([...bases, namesOf(at(host, 'peft/base'))[0]]).size, STEPS - WARM + 1)
    else t.deepEqual(new Set([...bases, namesOf(at(host, 'peft/base'))[0]]), new Set([baseOf(at(host, 'trunk'))]))
    for (const site of IDS) t.deepEqual(at(sites[site], 'trunk'), at(host, 'trunk'), site)
    for (const site of IDS) {
      t.is(shares[site]?.length, STEPS)
      for (const [step, { tensors }] of (shares[site] ?? []).entries()) {
        const names = tensors.map(({ name }) => name)
        t.is(names.includes('trunk'), step < WARM)
        t.is(names.some(name => name.startsWith('peft/')), step >= WARM)
      }
    }
    for (const name of unitsOf(host as State, 'peft/')) {
      if (name === 'peft/base') continue
      const wide = at(host, name)
      t.true(wide.some(value => value !== 0), `${name} learnt nothing`)
      const held = sites.ada?.[name]
      if (held !== undefined) t.deepEqual(held, wide, name) // ada has the largest rank
    }
  })
}

test.serial('a site of lower rank goes on from the first rows and columns of the agreed pair', async t => {
  const { sites, hosts: { host } } = await run(charterOf({ rule: 'svd', ranks: [4, 2, 1, 4] }))
  const [wideA, wideB] = [at(host, 'peft/block0.up/a4'), at(host, 'peft/block0.up/b4')]
  t.deepEqual(at(sites.ben, 'peft/block0.up/a2'), wideA.slice(0, 2 * 8))
  t.deepEqual([...at(sites.cyd, 'peft/block0.up/b1')], Array.from({ length: 12 }, (_, o) => wideB[4 * o] as number))
})

test.serial('FLoRA adds the exact mean of the sites\' products to the trunk', async t => {
  const ranks = [3, 2, 1, 2]
  const charter = charterOf({ rule: 'flora', ranks, warm: 0 }, { training: { rounds: 1 } })
  const plan = new PeftPlan(charter, peftOptions({ rule: 'flora', ranks, rank: 4, alpha: 8 }))
  const size = { inputs: 8, outputs: 12 }
  let began: Float32Array = new Float32Array(0)
  const { hosts: { host }, shares } = await run(charter, { start: async (_at, { clients }) => { began = at(byName(await clients.get('ada')?.weights() ?? []), 'trunk') } })
  const start = plan.startOfA('block0.up', size, 0)
  const { a, b } = stack(IDS.map((id, seat) => {
    const sent = byName(shares[id]?.[0]?.tensors ?? [])
    const changed = at(sent, `peft/block0.up/a${ranks[seat]}`)
    return { weight: 1 / IDS.length, ...factorsOf(changed.map((value, i) => value + (start[i] as number)), at(sent, `peft/block0.up/b${ranks[seat]}`), size) }
  }))
  const product = b.mmul(a)
  const [before, after] = [plan.weightOf(began, 'block0.up'), plan.weightOf(at(host, 'trunk'), 'block0.up')]
  let [moved, off] = [0, 0]
  for (let i = 0; i < size.inputs; i++) {
    for (let o = 0; o < size.outputs; o++) {
      const change = (after[i * size.outputs + o] as number) - (before[i * size.outputs + o] as number)
      moved = Math.max(moved, Math.abs(change))
      off = Math.max(off, Math.abs(change - plan.scale * product.get(o, i)))
    }
  }
  t.true(moved > 1e-4 && off < 1e-6, `moved by ${moved}, off by ${off}`)
})

test.serial('own adapters are trained, differ from site to site and never leave', async t => {
  for (const method of [{ rule: 'fedit', rank: 2 }, { kind: 'adapter', bottleneck: 3 }, { kind: 'prompt', prompts: 2 }]) {
    const { sites, hosts: { host }, shares } = await run(charterOf({ ...method, personal: true }))
    const own = unitsOf(sites.ada as State, 'own/')
    t.true(own.length > 0)
    for (const name of own) {
      t.true(at(sites.ada, name).some(value => value !== 0), name)
      t.notDeepEqual(at(sites.ada, name), at(sites.ben, name), name)
    }
    t.deepEqual(unitsOf(host as State, 'own/'), [])
    const sent = Object.values(shares).flatMap(frames => frames.flatMap(({ tensors }) => tensors.map(({ name }) => name)))
    t.false(sent.some(name => name.startsWith('own/')))
  }
})

test.serial('adapters made for another base are turned away, in one line that names both', async t => {
  const charter = charterOf({ warm: 0 })
  const error = await t.throwsAsync(run(charter, {
    start: async (_at, { clients }) => {
      const ben = clients.get('ben')
      const weights = await ben?.weights() ?? []
      await ben?.start(weights.map(({ name, tensor }) => name === 'trunk' ? { name, tensor: { ...tensor, data: tensor.data.map(value => 1.01 * value) } } : { name, tensor }))
    }
  }))
  t.regex(error?.message ?? '', /ben sent adapters made for base [0-9a-f]{16}, this host holds [0-9a-f]{16}/)
  t.false(error?.message.includes('\n'))
})

for (const method of [{ rule: 'fedit' }, { rule: 'flora' }] as const) {
  test.serial(`${method.rule}: hosts that merge every other step end with one base and one set of adapters, and so do their sites`, async t => {
    const { sites, hosts } = await run(charterOf(method, { training: { rounds: 3, stepsPerRound: 2 } }), { hosts: ['one', 'two'] })
    t.deepEqual(unitsOf(hosts.one as State, ''), unitsOf(hosts.two as State, ''))
    for (const name of unitsOf(hosts.one as State, '')) if (name !== 'peft/base') t.deepEqual(at(hosts.one, name), at(hosts.two, name), name)
    for (const id of IDS) t.deepEqual(at(sites[id], 'trunk'), at(hosts.one, 'trunk'), id)
  })
}

interface ByteRow { readonly dIn: number, readonly dOut: number, readonly r: number, readonly clients: number, readonly fullUp: number, readonly feditUp: number, readonly ffaUp: number, readonly floraUp: number, readonly floraDown: number }
const { bytes } = JSON.parse(readFileSync(new URL('../vectors/peft/lora-aggregation.json', import.meta.url), 'utf8')) as { readonly bytes: readonly ByteRow[] }

for (const { dIn, dOut, r, clients, fullUp, feditUp, ffaUp, floraUp, floraDown } of bytes) {
  test(`bytes of one layer ${dIn} x ${dOut} at rank ${r} with ${clients} clients are those of the table`, t => {
    const dataset: Dataset = { ...DATASET, clientIds: Array.from({ length: clients }, (_, i) => `site-${i}`) }
    const model = { width: dIn, hidden: dOut, layers: 1, heads: 1, attention: false, sharedEmbedder: false, sharedHeads: [] }
    const trafficWith = (rule: string): { up: number, down: number } => trafficOf(charterOf({ rule, rank: r, targets: ['up'], warm: 0, ...rule === 'flora' ? { rankMax: 4096 } : {} }, { model }, dataset))
    /** Beside the factors goes the base's name, 16 numbers, and with a stack those of its adapters. */
    const NAME = 16
    t.is(4 * dIn * dOut, fullUp)
    t.deepEqual(trafficWith('fedit'), { up: feditUp / 4 + NAME, down: feditUp / 4 + NAME })
    t.deepEqual(trafficWith('svd'), { up: feditUp / 4 + NAME, down: feditUp / 4 + NAME })
    t.deepEqual(trafficWith('ffa'), { up: ffaUp / 4 + NAME, down: ffaUp / 4 + NAME })
    t.deepEqual(trafficWith('flora'), { up: floraUp / 4 + NAME, down: floraDown / 4 + NAME + clients * NAME })
  })
}

for (const { id, method } of KINDS) {
  test.serial(`${id}: a run moves as many numbers as its plan says`, async t => {
    const charter = charterOf(method, { model: { sharedEmbedder: false, sharedHeads: [] }, training: { rounds: 8 } })
    const { shares } = await run(charter)
    const largest = shares.ada?.reduce((sum, { tensors }) => sum + tensors.reduce((sum, { tensor }) => sum + tensor.data.length, 0), 0) as number
    t.is(Math.round(largest / 8), trafficOf(charter).up)
  })
}

for (const { id, raw, why } of [
  { id: 'an option of another kind', raw: { kind: 'adapter', rank: 4 }, why: /rank is no option of peft with kind adapter/ },
  { id: 'an unknown kind', raw: { kind: 'ia3' }, why: /kind must be lora, adapter or prompt/ },
  { id: 'an unknown rule', raw: { rule: 'median' }, why: /rule must be/ },
  { id: 'mixed ranks under FedIT', raw: { ranks: [4, 2] }, why: /fedit needs one rank for all/ },
  { id: 'a limit of a stack without one', raw: { rankMax: 8 }, why: /rankMax limits the stack of flora/ },
  { id: 'no rank', raw: { rank: 0 }, why: /rank must be a whole number/ },
  { id: 'a share of no run', raw: { warm: 1.5 }, why: /warm must be/ }
]) {
  test(`is refused in one line: ${id}`, t => {
    const error = t.throws(() => peftOptions(raw), { instanceOf: InvalidParametersError, message: why })
    t.false(`${error?.message} ${error?.next}`.includes('\n'))
  })
}

test('options are filled in once: applied to their own result they change nothing', t => {
  for (const raw of [{}, { rule: 'flora', ranks: [4, 2], rankMax: 8 }, { kind: 'adapter', personal: true }, { kind: 'prompt', warm: 0.5, personal: false }]) t.deepEqual(peftOptions({ ...peftOptions(raw) }), peftOptions(raw))
})

test('a layer that the trunk does not have, and a prompt where tokens do not see each other, are refused with the charter', t => {
  t.throws(() => charterOf({ targets: ['gate'] }), { instanceOf: InvalidParametersError, message: /no layer of this trunk is called gate/ })
  t.throws(() => charterOf({ kind: 'prompt' }, { model: { attention: false } }), { instanceOf: InvalidParametersError, message: /do not see each other/ })
})
