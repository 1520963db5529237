/** The shared linear model: where its sites end is where one site with all their rows would, and what it sends on the way. */
import test from 'ava'
import { DOSE, ILL, TABLE, TEXTS, TOPIC, tableSite, textSite } from '../helpers/texts.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { MASK, PICTURES, SIDE } from '../helpers/synthetic.ts'
import { attach, makeClient, makeHost } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName, close } from '../helpers/tensors.ts'
import { charterHash, createCharter, readCharter } from '../../src/federation/charter.ts'
import { documentShares, linearRows } from '../../src/training/linear/rows.ts'
import { estimateClient, estimateHost, wholeParameters } from '../../src/training/memory.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { runInHalves } from '../helpers/halves.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { solveLogistic } from '../../src/training/simple/logistic.ts'
import { solveRidge } from '../../src/training/simple/ridge.ts'
import { takeRows } from '../../src/training/simple/rows.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { ClientData, Rows } from '../../src/data/dataset.ts'
import type { Frame } from '../../src/backbone/frames.ts'
import type { SparseRows } from '../../src/training/simple/rows.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

const backend = await backendOn('wasm')
const COUNTS = [['a', 12], ['bcd', 30], ['ef', 21]] as const
const TEXT_SITES = COUNTS.map(([id, rows]) => textSite(id, [rows, 6, 9]))
const TABLE_SITES = COUNTS.map(([id, rows]) => tableSite(id, [rows, 6, 9]))
/** Stronger than the default, so that 200 steps reach the optimum. */
const PENALTY = 0.01
const SETTINGS = { rounds: 2, stepsPerRound: 100, weightDecay: PENALTY, serverMomentum: 0.8 }

function charterOf (sites: readonly ClientData[], changes: Partial<CharterOptions> = {}): Charter {
  const [{ input, tasks }] = sites as [ClientData]
  const settings = settingsOf(findStrategy('fedlinear'), { model: { width: 32, dropout: 0.5, embedder: { kind: 'tokens' } } }, { ...changes, training: { ...SETTINGS, ...changes.training } })
  return createCharter({ name: 'linear', seed: 3, input, tasks, ...changes, ...settings })
}

interface End {
  readonly host: Readonly<Record<string, Float32Array>>
  readonly clients: ReadonlyArray<Readonly<Record<string, Float32Array>>>
  readonly frames: readonly Frame[]
}

async function end (sites: readonly ClientData[], changes: Partial<CharterOptions> = {}): Promise<End> {
  const charter = charterOf(sites, { ...changes, clock: { quorum: sites.length } })
  const home = makeHost(backend, charter)
  const frames: Frame[] = []
  const clients = sites.map(site => makeClient(backend, charter, site))
  const attached = clients.map(client => attach(home, client, charter, frame => { frames.push(frame) }))
  home.host.start()
  await Promise.all(attached.map(({ ran }) => ran))
  await home.host.stop()
  return { host: byName(home.trainer.save()), clients: clients.map(({ trainer }) => byName(trainer.save())), frames }
}

async function run (sites: readonly ClientData[], hosts: readonly string[], changes: Partial<CharterOptions> = {}): Promise<SimulationResult> {
  const [{ input, tasks }] = sites as [ClientData]
  const dataset = { name: 'made up', input, tasks, recipe: {}, clientIds: sites.map(({ id }) => id), client: async (id: string) => sites.find(site => site.id === id) as ClientData }
  return await simulate({ charter: charterOf(sites, changes), dataset, backend, hosts, clients: dataset.clientIds, control: true })
}

/** The rows of all sites, one after the other. */
function pooled (sites: readonly ClientData[]): { count: number, x: Float32Array, y: (task: string) => Float32Array } {
  const joined = (of: (rows: Rows) => Float32Array): Float32Array => Float32Array.from(sites.flatMap(({ train }) => [...of(train)]))
  return { count: sites.reduce((sum, { train }) => sum + train.count, 0), x: joined(rows => rows.x), y: task => joined(rows => rows.y[task] as Float32Array) }
}

function pooledLogistic (rows: SparseRows, y: Float32Array, { channels }: TaskSpec): Float32Array {
  const labelled = [...y.keys()].filter(row => (y[row] as number) >= 0)
  return Float32Array.from(solveLogistic(takeRows(rows, labelled), labelled.map(row => y[row] as number), { classes: channels, c: 1 / (PENALTY * y.length) }).weights)
}

test.serial('texts: sites end with the logistic regression of all their rows, on document shares that all agree on', async t => {
  const { host, clients } = await end(TEXT_SITES)
  const { x, count, y } = pooled(TEXT_SITES)
  const shares = documentShares(TEXTS, { x, count, y: {}, source: new Int32Array(count) })
  shares[48] = 3 / count // one document of each of three sites
  close(t, 'shares', host['embed/tokens'] as Float32Array, shares, 1e-6)
  close(t, 'weights', host['head/topic'] as Float32Array, pooledLogistic(linearRows(TEXTS, x, count, shares), y('topic'), TOPIC), 2e-3)
  for (const weights of clients) t.deepEqual([weights['embed/tokens'], weights['head/topic']], [host['embed/tokens'], host['head/topic']])
})

test.serial('tables: logistic regression for classes, where rows without a label count too, and ridge regression for numbers', async t => {
  const { host } = await end(TABLE_SITES)
  const { x, count, y } = pooled(TABLE_SITES)
  const rows = linearRows(TABLE, x, count, undefined)
  close(t, 'ill', host['head/ill'] as Float32Array, pooledLogistic(rows, y('ill'), ILL), 2e-3)
  const [ridge] = solveRidge(rows, Float64Array.from(y('dose'), value => (value - 10) / 8), [PENALTY * count])
  close(t, 'dose', host['head/dose'] as Float32Array, Float32Array.of(...ridge?.weights ?? [], ridge?.intercept ?? NaN), 2e-3)
  t.is(DOSE.scale?.deviation[0], 8)
})

test.serial('two hosts that meet after every step end where one does', async t => {
  const losses = ({ clients }: SimulationResult): number[] => clients.map(({ tasks }) => tasks[0]?.scores.federated?.all.loss as number)
  const one = await run(TEXT_SITES, ['h1'])
  const two = await run(TEXT_SITES, ['h1', 'h2'], { training: { rounds: 200, stepsPerRound: 1 } })
  close(t, 'losses', losses(two), losses(one), 1e-3)
})

test.serial('first the shares travel and nothing else, then the heads; of a table the heads alone', async t => {
  const { frames } = await end(TEXT_SITES, { training: { rounds: 1, stepsPerRound: 4 } })
  const sent = frames.filter(({ kind }) => kind === 'share').map(({ step, tensors }) => `${step} ${tensors.map(({ name }) => name).join()}`)
  t.deepEqual([...new Set(sent)].sort(), ['0 embed/tokens', '1 head/topic', '2 head/topic', '3 head/topic'])
  t.is(frames.filter(({ kind }) => kind !== 'share' && kind !== 'leave').length, 0)
  const table = await end(TABLE_SITES, { training: { rounds: 1, stepsPerRound: 2 } })
  t.deepEqual([...new Set(table.frames.flatMap(({ tensors }) => tensors.map(({ name }) => name)))].sort(), ['head/dose', 'head/ill'])
})

test.serial('saved and loaded half-way, with the host\'s momentum, a run ends as if nothing had happened', async t => {
  const charter = charterOf(TEXT_SITES, { training: { rounds: 3, stepsPerRound: 4 }, clock: { quorum: 3 } })
  const { fingerprints } = await run(TEXT_SITES, ['host'], { training: { rounds: 3, stepsPerRound: 4 } })
  t.deepEqual(await runInHalves(backend, charter, TEXT_SITES, 4), fingerprints)
})

test.serial('beside it the site\'s own linear model is the local one, and no control is trained', async t => {
  const { clients } = await run(TEXT_SITES, ['host'])
  for (const { tasks, bestLocal, served } of clients) {
    t.is(bestLocal, 'simple')
    t.is(served, 'federated')
    for (const { scores } of tasks) {
      t.deepEqual(Object.keys(scores).sort(), ['bestLocal', 'ensemble', 'federated', 'local', 'served', 'simple', 'simple+federated', 'simpleRefit'])
      t.deepEqual(scores.local, scores.simple)
    }
  }
})

test('rows of text are words times idf, of length 1: by hand', t => {
  // Texts: words 0 0 1, and 1. Shares .5 and 1, one document .5: idf 1 + ln(1.5) and 1 + ln(1).
  const input = { ...TEXTS, shape: [3, 2], buckets: 2 }
  const x = Float32Array.of(0, 1, 0, 1, 1, 1, 1, 0, -1, -1, -1, -1)
  const shares = documentShares(input, { count: 2, x, y: {}, source: new Int32Array(2) })
  t.deepEqual([...shares], [0.5, 1, 0.5])
  const { start, column, value } = linearRows(input, x, 2, shares)
  t.deepEqual([[...start], [...column]], [[0, 2, 3], [0, 1, 1]])
  const idf = 1 + Math.log(1.5)
  close(t, 'values', [...value], [2 * idf, 1, Math.hypot(2 * idf, 1)].map(v => v / Math.hypot(2 * idf, 1)), 1e-6)
  t.is(linearRows(input, x, 2, new Float32Array(3)).value.length, 3, 'before anything is agreed')
})

test('rows of a table are no longer than 1', t => {
  const { value } = linearRows({ modality: 'table', shape: [4] }, Float32Array.of(1, 0, -1, 0.5, 30, 40, 0, 0), 2, undefined)
  close(t, 'values', [...value], [0.5, -0.5, 0.25, 0.6, 0.8], 1e-6)
})

test('a linear charter can be read back, passes over a recipe\'s trunk, and other charters are what they were', t => {
  const charter = charterOf(TEXT_SITES)
  t.deepEqual(readCharter(structuredClone(charter)), charter)
  t.deepEqual(charter.shared, ['embed/tokens', 'head/topic'])
  t.deepEqual(charterOf(TABLE_SITES).shared, ['head/dose', 'head/ill'])
  t.is(charterHash(charterOf(TEXT_SITES, { model: { width: 48, layers: 2, dropout: 0 } })), charterHash(charter))
  const plain: CharterOptions = { name: 'c', seed: 1, input: PICTURES, tasks: [SIDE] }
  t.is(charterHash(createCharter({ ...plain, model: { kind: 'deep' }, training: { serverMomentum: 0 } })), charterHash(createCharter(plain)))
  t.is(wholeParameters(charter), 49 + 49 * 3)
  t.true(estimateHost(charter, 3).bytes < 2 ** 20)
  t.true(estimateClient(charter, TEXT_SITES[0] as ClientData, 1).bytes < 2 ** 20)
})

const linear: CharterOptions = { name: 'c', seed: 1, input: PICTURES, tasks: [SIDE], model: { kind: 'linear', sharedHeads: 'all' }, training: { optimiser: 'sgd' } }
for (const { id, changes } of [
  { id: 'a label per pixel', changes: { tasks: [SIDE, MASK] } },
  { id: 'private heads', changes: { model: { kind: 'linear', sharedHeads: [] } } },
  { id: 'moments', changes: { training: { optimiser: 'adamw' } } },
  { id: 'local steps', changes: { training: { optimiser: 'sgd', localSteps: 2 } } },
  { id: 'a personal model', changes: { training: { optimiser: 'sgd', personal: 'ditto' } } },
  { id: 'a trunk at the host', changes: { model: { kind: 'linear', sharedHeads: 'all', trunk: 'host' } } },
  { id: 'private normalisations', changes: { model: { kind: 'linear', sharedHeads: 'all', privateNorms: true } } },
  { id: 'a kind that nobody knows', changes: { model: { kind: 'quadratic' } } },
  { id: 'momentum that never fades', changes: { training: { optimiser: 'sgd', serverMomentum: 1 } } },
  { id: 'momentum at the host of a split model', changes: { model: {}, training: { serverMomentum: 0.5 } } }
]) {
  test(`is refused: ${id}`, t => {
    t.notThrows(() => createCharter(linear))
    const error = t.throws(() => createCharter({ ...linear, ...changes }), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /^[^\n]{10,}$/)
  })
}
