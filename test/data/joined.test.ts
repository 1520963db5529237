/** Several data sets as one: who is in it, under which names, and what each client still has of its own set. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { InvalidParametersError, DataError } from '../../src/errors.ts'
import { asMember } from '../../src/data/check-charter.ts'
import { checkDataset } from '../../src/data/check.ts'
import { createCharter, charterHash, readCharter } from '../../src/federation/charter.ts'
import { absolute, openDataset } from '../../src/data/open.ts'
import { tasksOfClient } from '../../src/data/dataset.ts'
import { folderOf } from '../helpers/files.ts'
import type { ExecutionContext } from 'ava'

const TABLE = (columns: string, tasks: string): string => `files: { rows: rows.csv }
input: { modality: table, columns: [${columns}] }
clients: { column: site }
test: { share: 0.3 }
tasks: [${tasks}]
`
const ILL = '{ id: ill, kind: classes, column: ill, classes: 2 }'

/** Two tables of other columns, and texts; two sites of the tables have one name. */
async function folders (t: ExecutionContext): Promise<string> {
  const rows = (cells: (row: number) => string, head: string): string => `${head}\n${Array.from({ length: 24 }, (_, row) => cells(row)).join('\n')}\n`
  const sets = {
    blood: { manifest: `name: blood\n${TABLE('{ name: iron }, { name: sugar }', `${ILL}, { id: age, kind: regression, column: age }`)}recipe: { tasks: [ill], rows: 6, model: { width: 8, heads: 2, embedder: { kind: row }, sharedHeads: [ill] } }\n`, csv: rows(row => `${row % 2 === 0 ? 'north' : 'south'},${row / 9},${row / 7},${row % 3 === 0 ? 1 : 0},${30 + row}`, 'site,iron,sugar,ill,age') },
    heart: { manifest: `name: heart\n${TABLE('{ name: rate }', ILL)}`, csv: rows(row => `${row % 2 === 0 ? 'north' : 'west'},${row},${row % 2}`, 'site,rate,ill') },
    notes: { manifest: 'name: notes\nfiles: { rows: rows.csv }\ninput: { modality: tokens, column: text, split: words, length: 4, buckets: 32, slots: 1 }\nclients: { single: clinic }\ntest: { share: 0.3 }\ntasks: [{ id: urgent, kind: classes, column: urgent, classes: 2 }]\nrecipe: { model: { sharedEmbedder: true, sharedHeads: [urgent] } }\n', csv: rows(row => `word${row % 5} word${row % 3},${row % 2}`, 'text,urgent') }
  }
  return await folderOf(t, {
    ...Object.fromEntries(Object.entries(sets).flatMap(([name, { manifest, csv }]) => [[`${name}/fmtl.yaml`, manifest], [`${name}/rows.csv`, csv]])),
    'all.yaml': 'name: clinic\nsets: [blood, heart, notes]\nrecipe: { training: { rounds: 3 } }\n'
  })
}

const list = (home: string, ...sets: string[]): string => sets.map(set => join(home, set)).join()

test('clients and tasks of all sets are there, apart where two sets call them the same', async t => {
  const home = await folders(t)
  const data = await openDataset(list(home, 'blood', 'heart', 'notes'), { seed: 1 })
  t.is(data.name, 'blood-heart-notes')
  t.deepEqual(data.clientIds, ['blood-north', 'south', 'heart-north', 'west', 'clinic'])
  t.deepEqual(data.tasks.map(({ id, input }) => [id, input]), [['blood-ill', 'table'], ['heart-ill', 'table-heart'], ['urgent', 'tokens']])
  t.deepEqual(data.inputs?.map(({ modality, name, shape }) => [modality, name, shape]), [['table', undefined, [2]], ['table', 'table-heart', [1]], ['tokens', undefined, [4, 1]]])
  t.deepEqual(data.input, data.inputs?.[0])
  const north = await data.client('heart-north')
  t.is(north.id, 'heart-north')
  t.is(north.input.name, 'table-heart')
  t.deepEqual(Object.keys(north.train.y), ['heart-ill'])
  t.deepEqual(tasksOfClient(data, 'clinic'), ['urgent'])
})

test('a client has the rows that it has in its own set', async t => {
  const home = await folders(t)
  const [joined, alone] = [await openDataset(list(home, 'notes', 'blood'), { seed: 3 }), await openDataset(join(home, 'blood'), { seed: 3 })]
  const [here, there] = [await joined.client('north'), await alone.client('north')]
  t.deepEqual([here.train.x, here.train.y.ill, here.test.source], [there.train.x, there.train.y.ill, there.test.source])
  t.is(here.train.count + here.holdout.count, 6, 'its own recipe\'s rows')
})

test('a manifest may list the sets, and its recipe comes before theirs', async t => {
  const home = await folders(t)
  const data = await openDataset(join(home, 'all.yaml'), { seed: 1 })
  t.is(data.name, 'clinic')
  t.is(data.clientIds.length, 5)
  t.like(data.recipe, { training: { rounds: 3 }, model: { width: 8, sharedHeads: ['blood-ill', 'urgent'], sharedEmbedder: ['tokens'], attention: true } })
  t.deepEqual(Object.keys(data.recipe.model?.embedders ?? {}), ['table-heart', 'tokens'])
})

test('tasks choose sets: one without any of them has no clients here', async t => {
  const home = await folders(t)
  const data = await openDataset(join(home, 'all.yaml'), { seed: 1, tasks: ['urgent', 'age'] })
  t.deepEqual(data.clientIds, ['blood-north', 'south', 'clinic'])
  t.deepEqual(data.tasks.map(({ id }) => id), ['age', 'urgent'])
  t.deepEqual((await openDataset(join(home, 'all.yaml'), { seed: 1, tasks: ['heart-ill'] })).tasks.map(({ id, input }) => [id, input]), [['heart-ill', undefined]])
  await t.throwsAsync(openDataset(join(home, 'all.yaml'), { seed: 1, tasks: ['ill'] }), { instanceOf: InvalidParametersError, message: /no task 'ill', there are blood-ill, age, heart-ill, urgent/ })
})

test('a number of clients is dealt out to the sets', async t => {
  const home = await folders(t)
  t.deepEqual((await openDataset(list(home, 'blood', 'heart'), { seed: 1, clients: 3 })).clientIds, ['blood-north', 'south', 'heart-north'])
  await t.throwsAsync(openDataset(list(home, 'blood', 'heart'), { seed: 1, clients: 1 }), { instanceOf: InvalidParametersError, message: /1 clients of 2 data sets/ })
})

test('what cannot be a list of sets is refused in one line', async t => {
  const home = await folders(t)
  await t.throwsAsync(openDataset(list(home, 'blood', 'absent'), { seed: 1 }), { instanceOf: DataError, message: /absent: there is no such data set/ })
  await writeFile(join(home, 'nested.yaml'), 'name: nested\nsets: [all.yaml, heart]\n')
  await t.throwsAsync(openDataset(join(home, 'nested.yaml'), { seed: 1 }), { instanceOf: DataError, message: /a list of sets within a list of sets/ })
  await writeFile(join(home, 'both.yaml'), 'name: both\nscenes: {}\nsets: [blood, heart]\n')
  await t.throwsAsync(openDataset(join(home, 'both.yaml'), { seed: 1 }), { instanceOf: DataError })
  t.is(await absolute('scenes,blood'), `scenes,${join(process.cwd(), 'blood')}`)
})

test('the check looks at every set', async t => {
  const home = await folders(t)
  const report = await checkDataset(join(home, 'all.yaml'), { seed: 0 })
  t.true(report.ok, report.problems.join())
  t.deepEqual(report.clients.map(({ id }) => id), ['north', 'south', 'north', 'west', 'clinic'])
  t.true(report.warnings.some(line => line.startsWith('notes: ')))
  t.deepEqual((await checkDataset(join(home, 'all.yaml'), { seed: 0, only: ['clinic'] })).clients.map(({ id }) => id), ['clinic'])
})

test('a charter of several inputs survives its way through JSON, and one of a single input is what it was', async t => {
  const home = await folders(t)
  const data = await openDataset(join(home, 'all.yaml'), { seed: 1 })
  const { input, inputs, tasks } = data
  const charter = createCharter({ name: 'clinic', seed: 1, input, ...inputs === undefined ? {} : { inputs }, tasks, model: data.recipe.model ?? {} })
  t.deepEqual(readCharter(JSON.parse(JSON.stringify(charter))), JSON.parse(JSON.stringify(charter)))
  t.deepEqual(charter.shared, ['embed/tokens', 'head/blood-ill', 'head/urgent'])
  t.is(charter.model.embedders?.tokens?.kind, 'tokens')
  const plain = createCharter({ name: 'x', seed: 1, input, tasks: [] })
  t.is(charterHash(createCharter({ name: 'x', seed: 1, input, inputs: [input], tasks: [] })), charterHash(plain))
  t.false('inputs' in plain || 'embedders' in plain.model)
  const bad: Array<[object, RegExp]> = [
    [{ inputs: [inputs?.[1], inputs?.[0]] }, /the first of several inputs is table, not table-heart/],
    [{ inputs: [input, input] }, /two inputs are called table/],
    [{ tasks: [{ ...tasks[0], input: 'sound' }] }, /is read from sound, there are table, table-heart, tokens/],
    [{ model: { embedders: { sound: {} } } }, /model.embedders.sound is not a setting/],
    [{ model: { sharedEmbedder: ['sound'] } }, /there is no input sound/],
    [{ model: { kind: 'linear', sharedHeads: 'all' } }, /reads one kind of input/]
  ]
  for (const [change, message] of bad) t.throws(() => createCharter({ name: 'x', seed: 1, input, ...inputs === undefined ? {} : { inputs }, tasks, ...change }), { instanceOf: InvalidParametersError, message })
})

test('a site that has its own set only takes the name that the charter has for its kind of rows', async t => {
  const home = await folders(t)
  const { input, inputs, tasks } = await openDataset(join(home, 'all.yaml'), { seed: 1 })
  const charter = createCharter({ name: 'clinic', seed: 1, input, ...inputs === undefined ? {} : { inputs }, tasks })
  const own = await (await openDataset(join(home, 'heart'), { seed: 1 })).client('west')
  t.deepEqual((await openDataset(join(home, 'notes'), { seed: 1, tasks: charter.tasks.map(({ id }) => id), someTasks: true })).tasks.map(({ id }) => id), ['urgent'])
  await t.throwsAsync(openDataset(join(home, 'notes'), { seed: 1, tasks: ['blood-ill'], someTasks: true }), { instanceOf: InvalidParametersError, message: /no task of blood-ill is here, there are urgent/ })
  t.is(own.input.name, undefined)
  t.is(asMember(charter, own).input.name, 'table-heart')
  const error = t.throws(() => asMember(charter, { ...own, input: { modality: 'image', shape: [8, 8, 1] } }), { instanceOf: DataError })
  t.is(error?.message, 'client west has rows of image [8, 8, 1], the charter takes table [2], table [1], tokens [4, 1]')
})
