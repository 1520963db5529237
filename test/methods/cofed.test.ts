/** CoFED through the simulator: what travels, what is taken, and whose rows the public ones may be. */
import { writeFileSync } from 'node:fs'
import test from 'ava'
import { DataError, InvalidParametersError } from '../../src/errors.ts'
import { accuracyOf, runToy } from '../helpers/table-sites.ts'
import { backendOn } from '../helpers/rungs.ts'
import { cofed } from '../../src/methods/cofed/cofed.ts'
import { publicFile, sitesWithPublicRows } from '../helpers/public-rows.ts'
import { publicRows } from '../../src/methods/cofed/public-set.ts'
import type { Frame } from '../../src/backbone/frames.ts'

const backend = await backendOn('wasm')
const ROWS = 200
const { dataset, set } = sitesWithPublicRows({ seed: 4, sites: 6, rows: [20, 6, 100], unlabelled: ROWS })

interface Outcome { readonly accuracy: number, readonly taken: readonly number[], readonly sent: readonly Frame[], readonly sizes: readonly number[] }

async function run (threshold: number, hosts = ['host']): Promise<Outcome> {
  const [taken, sizes, sent]: [number[], number[], Frame[]] = [[], [], []]
  const { clients } = await runToy(backend, dataset, {
    strategy: 'cofed',
    seed: 4,
    model: { width: 16, layers: 1, hidden: 16 },
    training: { rounds: 6, localSteps: 10, batch: 12, warmup: 5, lrLocal: 0.01, weightDecay: 0.01 },
    method: { public: set, widths: [8, 16, 24], threshold },
    simulation: {
      hosts,
      onFrame: (_, frame) => { sent.push(frame) },
      onTrainers: async (at, { clients }) => {
        if (at === 'start') return
        for (const trainer of clients.values()) {
          const saved = await trainer.save()
          taken.push(saved.find(({ name }) => name === 'taken/kind')?.tensor.data.filter(label => label >= 0).length ?? NaN)
          sizes.push(saved.find(({ name }) => name === 'trunk')?.tensor.data.length ?? NaN)
        }
      }
    }
  })
  return { accuracy: accuracyOf(clients), taken, sent, sizes }
}

test.serial('labels travel and nothing else, models are of several widths, and sites are the better for it', async t => {
  const before = backend.liveTensors()
  const [one, none] = [await run(0.5), await run(1)]
  t.is(backend.liveTensors(), before)
  const tensors = one.sent.flatMap(({ tensors }) => tensors)
  t.deepEqual([...new Set(tensors.map(({ name, tensor }) => `${name} ${tensor.data.length}`))].sort(), ['classes/kind 6', `labels/kind ${ROWS}`])
  t.true(tensors.every(({ tensor }) => tensor.data.every(Number.isInteger)))
  t.is(new Set(one.sizes).size, 3)
  t.true(one.taken.every(count => count > 0))
  t.true(none.taken.every(count => count === 0), 'a threshold of 1 accepts nothing')
  t.log(`${one.accuracy.toFixed(3)} with labels of each other, ${none.accuracy.toFixed(3)} without; taken ${one.taken.join(' ')}`)
  t.true(one.accuracy > none.accuracy + 0.03)
})

test.serial('sites of two hosts are counted together', async t => {
  const [one, two] = [await run(0.5), await run(0.5, ['h1', 'h2'])]
  t.log(`taken with one host ${one.taken.join(' ')}, with two ${two.taken.join(' ')}`)
  t.deepEqual(two.taken, one.taken)
})

test('the public file is the one that the charter names, or nothing is trained', t => {
  const input = { modality: 'table', shape: [3] } as const
  const file = publicFile(Float32Array.from([1, 2, 3, 4, 5, 6]), 2)
  t.deepEqual([...publicRows(file, input).x], [1, 2, 3, 4, 5, 6])
  const refused = (set: typeof file, message: RegExp): void => { t.throws(() => publicRows(set, input), { instanceOf: DataError, message }) }
  refused({ ...file, rows: 3 }, /^the public rows .* have 24 bytes, 3 rows of \[3\] have 36$/)
  refused({ ...file, sha256: file.sha256.replaceAll(/./g, '0') }, /another sha-256/)
  refused({ ...file, file: `${file.file}.missing` }, /cannot be read/)
  const broken = publicFile(Float32Array.from([1, NaN, 3]), 1)
  refused(broken, /not finite/)
  writeFileSync(file.file, 'short')
  refused(file, /have 5 bytes/)
})

test('without a file the public rows follow from the input\'s form and the seed', t => {
  const drawn = (seed: number): number[] => [...publicRows({ rows: 4, seed }, { modality: 'table', shape: [3] }).x]
  t.deepEqual(drawn(1), drawn(1))
  t.notDeepEqual(drawn(1), drawn(2))
  const tokens = [...publicRows({ rows: 2, seed: 1 }, { modality: 'tokens', shape: [3, 2], buckets: 5 }).x]
  t.true(tokens.every((value, i) => i % 2 === 0 ? Number.isInteger(value) && value >= 0 && value < 5 : value === -1))
})

for (const options of [{ margin: 2 }, { threshold: -1 }, { binary: 'other' }, { widths: [0] }, { widths: 8 }, { public: 5 }, { public: { rows: 0 } }, { public: { rows: 1e9 } }, { public: { rows: 2, file: 'x', sha256: 'y' } }, { public: { rows: 2, path: 'x' } }, { unknown: 1 }]) {
  test(`refused: ${JSON.stringify(options)}`, t => { t.throws(() => cofed.options(options), { instanceOf: InvalidParametersError }) })
}

test('options filled in are left as they are', t => { t.deepEqual(cofed.options({ ...cofed.options({ widths: [8] }) }), cofed.options({ widths: [8] })) })
