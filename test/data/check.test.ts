/** What `data check` says beyond the counts: gaps, bad rows, scarce classes, and whether the data fit a charter. */
import { join } from 'node:path'
import test from 'ava'
import { checkData } from '../../src/data/check-thread.ts'
import { checkDataset } from '../../src/data/check.ts'
import { folderOf } from '../helpers/files.ts'
import { openDataset } from '../../src/data/open.ts'
import { withSharedData } from '../helpers/shared-data.ts'
import type { CheckOptions } from '../../src/data/check.ts'

const MANIFEST = `name: clinic
files: { rows: rows.csv }
missing: ['?']
input: { modality: table, columns: [{ name: age, mean: 50, deviation: 10 }, { name: sex, oneHot: [f, m] }] }
clients: { single: clinic }
test: { share: 0.2, stratify: ill }
tasks:
  - { id: ill, kind: classes, column: score, values: [0, 1, 2], classes: [healthy, ill, dying] }
  - { id: stay, kind: regression, column: stay, mean: 5, deviation: 2 }
`
const LINES = ['age,sex,score,stay', ...Array.from({ length: 100 }, (_, i) => `${i % 4 === 0 ? '?' : 30 + i % 50},${i % 10 === 0 ? '' : i % 2 === 0 ? 'f' : 'm'},${i < 5 ? 2 : i % 2},${i % 9}`)]
const files = (lines = LINES, manifest = MANIFEST): Record<string, string> => ({ 'fmtl.yaml': manifest, 'rows.csv': lines.join('\n') })

test('the share of missing cells per column, the label map and scarce classes', async (t) => {
  const { ok, columns, tasks, warnings, rows, input } = await checkDataset(await folderOf(t, files()), { seed: 1 })
  t.true(ok)
  t.deepEqual(columns, [{ name: 'age', missing: 0.25 }, { name: 'sex', missing: 0.1 }])
  t.deepEqual(tasks[0]?.labels, ['healthy', 'ill', 'dying'])
  t.is(rows.train + rows.holdout + rows.test, 100)
  t.deepEqual(input?.columns, ['age', 'sex=f', 'sex=m'])
  t.true(warnings.includes("task 'ill': fewer than 10 rows of class dying (5)"), warnings.join('\n'))
})

test('rows with too few or too many fields are left out with file and line, up to a share', async (t) => {
  const lines = LINES.with(7, '50,f,1').with(20, '50,f,1,3,4')
  const folder = await folderOf(t, files(lines))
  const { ok, samples, skipped } = await checkDataset(folder, { seed: 1 })
  const path = join(folder, 'rows.csv')
  t.deepEqual([ok, samples], [true, 98])
  t.deepEqual(skipped, { count: 2, named: [`${path} line 8: 3 fields, the first line has 4`, `${path} line 21: 5 fields, the first line has 4`] })
  const { train, holdout, test: last } = await (await openDataset(folder, { seed: 1 })).client('clinic')
  t.is(train.count + holdout.count + last.count, 98)

  const many = lines.map((line, i) => i > 0 && i % 10 === 0 ? 'x' : line)
  const bad = await checkDataset(await folderOf(t, files(many)), { seed: 1 })
  t.false(bad.ok)
  t.regex(bad.problems.join(), /rows\.csv: 11 of 100 samples cannot be read, at most 5 are left out: \S+ line 8: 3 fields.*line 11: 1 field, .*; and 8 more/)
})

test('a line after a bad one is still named rightly', async (t) => {
  const { problems } = await checkDataset(await folderOf(t, files(LINES.with(7, '50,f,1').with(50, 'old,f,1,3'))), { seed: 1 })
  t.regex(problems.join(), /rows\.csv line 51: 'old' in column 'age' is not a number/)
})

test('a column without any value is said', async (t) => {
  const { warnings } = await checkDataset(await folderOf(t, files(LINES.map((line, i) => i === 0 ? line : line.replace(/^[^,]*/, '?')))), { seed: 1 })
  t.true(warnings.includes("column 'age' is empty"), warnings.join('\n'))
})

const CHARTERS: ReadonlyArray<{ id: string, change: (charter: Own) => Own, problem: RegExp | undefined, warning?: RegExp }> = [
  { id: 'the charter made from it', change: (own) => own, problem: undefined },
  { id: 'fewer tasks', change: (own) => ({ ...own, tasks: own.tasks.slice(1) }), problem: undefined },
  { id: 'a task that the site lacks', change: (own) => ({ ...own, tasks: [...own.tasks, { ...own.tasks[0] as Own['tasks'][number], id: 'other' }] }), problem: undefined, warning: /task 'other' of the charter is not in the data/ },
  { id: 'no common task', change: (own) => ({ ...own, tasks: own.tasks.map((task) => ({ ...task, id: `${task.id}2` })) }), problem: /no task of the charter \(ill2, stay2\) is in the data \(ill, stay\)/ },
  { id: 'another shape', change: (own) => ({ ...own, input: { ...own.input, shape: [4] } }), problem: /shape of input: the charter says \[4\], the data \[3\]/ },
  { id: 'another kind of input', change: (own) => ({ ...own, input: { ...own.input, modality: 'series' as const } }), problem: /kind of input: the charter says series, the data table/ },
  { id: 'other columns', change: (own) => ({ ...own, input: { ...own.input, columns: ['age', 'sex=m', 'sex=f'] } }), problem: /columns of input: number 2 is sex=m in the charter and sex=f in the data/ },
  { id: 'other class names', change: (own) => ({ ...own, tasks: own.tasks.map((task) => task.id === 'ill' ? { ...task, classNames: ['well', 'ill', 'dying'] } : task) }), problem: /class names of task 'ill': the charter says well, ill, dying, the data healthy, ill, dying/ },
  { id: 'another scale', change: (own) => ({ ...own, tasks: own.tasks.map((task) => task.id === 'stay' ? { ...task, scale: { mean: [6], deviation: [2] } } : task) }), problem: /scale of task 'stay'/ },
  { id: 'another kind of task', change: (own) => ({ ...own, tasks: own.tasks.map((task) => task.id === 'stay' ? { ...task, kind: 'classes' as const } : task) }), problem: /kind of task 'stay': the charter says classes, the data regression/ }
]
type Own = NonNullable<CheckOptions['charter']>
for (const { id, change, problem, warning } of CHARTERS) {
  test(`against ${id}`, async (t) => {
    const folder = await folderOf(t, files())
    const { input, tasks } = await openDataset(folder, { seed: 1 })
    const { ok, problems, warnings } = await checkDataset(folder, { seed: 1, charter: change({ input, tasks }) })
    t.is(ok, problem === undefined, problems.join('\n'))
    if (problem !== undefined) t.regex(problems.join('\n'), problem)
    if (warning !== undefined) t.regex(warnings.join('\n'), warning)
  })
}

test('the check runs in a thread of its own: the loop goes on, a signal ends it, and the report is the same', async (t) => {
  const rows = ['age,sex,score,stay', ...Array.from({ length: 60_000 }, (_, i) => `${30 + i % 50},f,${i % 3},${i % 9}`)]
  const folder = await folderOf(t, files(rows))
  let [longest, last] = [0, performance.now()]
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 10)
  const report = await checkData(folder, { seed: 1 })
  clearInterval(timer)
  t.is(report.samples, 60_000)
  t.true(longest < 1000, `${longest} ms`)
  const abort = new AbortController()
  const stopped = checkData(folder, { seed: 1 }, { signal: abort.signal })
  abort.abort(new Error('enough'))
  await t.throwsAsync(stopped, { message: 'enough' })
  await t.throwsAsync(checkData(folder, { seed: 1 }, { signal: abort.signal }), { message: 'enough' })
  const small = await folderOf(t, files())
  t.deepEqual(await checkData(small, { seed: 1 }), await checkDataset(small, { seed: 1 }))
})

withSharedData('heart', 'four hospitals: gaps, a column without values, and the charter that they agreed on', async (t, folder) => {
  const { input, tasks } = await openDataset(folder, { seed: 1 })
  const report = await checkData(folder, { seed: 1, charter: { input, tasks } })
  t.deepEqual([report.ok, report.samples, report.skipped.count], [true, 920, 0])
  const share = (name: string): number => report.columns.find((column) => column.name === name)?.missing ?? NaN
  t.is(share('age'), 0)
  t.true(share('slope') > 0.3 && share('slope') < 0.4)
  t.deepEqual(report.tasks.find(({ id }) => id === 'disease'), { id: 'disease', kind: 'classes', support: 920, classes: { healthy: 411, disease: 509 }, labels: ['healthy', 'disease'] })
  const wrong = await checkData(folder, { seed: 1, charter: { input: { ...input, shape: [9] }, tasks } })
  t.false(wrong.ok)
})
