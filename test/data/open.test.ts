import { join } from 'node:path'
import { fc, testProp } from '@fast-check/ava'
import test from 'ava'
import { checkDataset } from '../../src/data/check.ts'
import { tokenBuckets, tokenise } from '../../src/data/inputs.ts'
import { openDataset } from '../../src/data/open.ts'
import { boundary, signedDistance } from '../../src/data/targets.ts'
import { DataError, FmtlError, InvalidParametersError } from '../../src/errors.ts'
import { folderOf, idx } from '../helpers/files.ts'
import type { ClientData, Rows } from '../../src/data/dataset.ts'

const manifest = `name: clinic
files: { rows: rows.csv }
missing: ['?']
input:
  modality: table
  columns:
    - { name: age, mean: 50, deviation: 10, flag: true }
    - { name: sex, oneHot: [f, m] }
    - { name: lactate, log: true, missing: [0] }
clients: { column: site }
test: { column: part, equals: test }
holdout: { policy: stratified }
tasks:
  - { id: ill, kind: classes, column: score, above: 1, classes: [healthy, ill] }
  - { id: stage, kind: classes, column: score, values: [0, 1, 2], classes: [none, early, late], clients: [north] }
  - { id: stay, kind: regression, column: stay, mean: 5, deviation: 2 }
recipe: { tasks: [ill, stay], holdout: 0.25 }
`

function rowsOf (count: number): string {
  const lines = Array.from({ length: count }, (_, i) =>
    [i % 3 === 0 ? 'south' : 'north', i % 7 === 0 ? '?' : 30 + i % 50, i % 2 === 0 ? 'f' : 'm', i % 5, i % 3, i % 11 === 0 ? '' : i % 9, i % 6 === 5 ? 'test' : 'train'].join(','))
  return ['site,age,sex,lactate,score,stay,part', ...lines].join('\n')
}

const clinic = { 'fmtl.yaml': manifest, 'rows.csv': rowsOf(120) }
const rowSet = ({ train, holdout, test: tests }: ClientData): number[] => [train, holdout, tests].flatMap(({ source }) => [...source])

test('a table: columns are expanded, scaled by the agreed constants, and missing cells flagged', async (t) => {
  const data = await openDataset(await folderOf(t, clinic), { seed: 1 })
  t.deepEqual(data.clientIds, ['south', 'north'])
  t.deepEqual(data.tasks.map(({ id }) => id), ['ill', 'stay'])
  t.deepEqual([...data.input.columns ?? []], ['age', 'age?', 'sex=f', 'sex=m', 'lactate'])
  const { train } = await data.client('north')
  for (const [i, row] of train.source.entries()) {
    const x = [...train.x.subarray(i * 5, i * 5 + 5)]
    const missing = row % 7 === 0
    const want = [missing ? 0 : (30 + row % 50 - 50) / 10, missing ? 1 : 0, row % 2 === 0 ? 1 : 0, row % 2, row % 5 === 0 ? 0 : Math.log(row % 5)]
    want.forEach((v, c) => t.true(Math.abs((x[c] as number) - v) < 1e-6))
    t.is(train.y.ill?.[i], row % 3 > 1 ? 1 : 0)
    t.is(train.y.stay?.[i], row % 11 === 0 ? NaN : row % 9)
  }
  t.deepEqual(data.tasks[1]?.scale, { mean: [5], deviation: [2] })
})

test('training, hold-out and test rows are disjoint, cover the client, and repeat for the same seed', async (t) => {
  const folder = await folderOf(t, clinic)
  const read = async (seed: number): Promise<ClientData> => await (await openDataset(folder, { seed })).client('north')
  const [a, same, other] = [await read(1), await read(1), await read(2)]
  t.deepEqual(rowSet(a).sort((x, y) => x - y), Array.from({ length: 120 }, (_, i) => i).filter((i) => i % 3 !== 0))
  t.deepEqual(rowSet(a), rowSet(same))
  t.notDeepEqual([...a.holdout.source], [...other.holdout.source])
  t.deepEqual([...a.test.source], [...other.test.source])
  t.is(a.holdout.count, Math.round(0.25 * (a.train.count + a.holdout.count)))
})

test('a recipe may say otherwise for a task that is trained alone', async (t) => {
  const folder = await folderOf(t, { ...clinic, 'fmtl.yaml': manifest.replace('holdout: 0.25 }', 'holdout: 0.25, model: { width: 8, layers: 1 }, training: { batch: 4 }, alone: { stay: { model: { width: 16 }, training: { rounds: 3 } } } }') })
  const recipe = async (...tasks: string[]): Promise<unknown> => (await openDataset(folder, { seed: 1, tasks })).recipe
  const rest = { tasks: ['ill', 'stay'], holdout: 0.25 }
  t.deepEqual(await recipe('ill', 'stay'), { ...rest, model: { width: 8, layers: 1 }, training: { batch: 4 } })
  t.deepEqual(await recipe('ill'), { ...rest, model: { width: 8, layers: 1 }, training: { batch: 4 } })
  t.deepEqual(await recipe('stay'), { ...rest, model: { width: 16, layers: 1 }, training: { batch: 4, rounds: 3 } })
})

test('which tasks are loaded does not change which rows are drawn', async (t) => {
  const folder = await folderOf(t, clinic)
  const a = await (await openDataset(folder, { seed: 4, rows: 20 })).client('south')
  const b = await (await openDataset(folder, { seed: 4, rows: 20, tasks: ['ill'] })).client('south')
  t.deepEqual(rowSet(a), rowSet(b))
  t.is(a.train.count + a.holdout.count, 20)
})

test('options win over the recipe, and a task stays at the clients that have it', async (t) => {
  const data = await openDataset(await folderOf(t, clinic), { seed: 1, tasks: ['stage', 'ill'], holdout: 0 })
  t.deepEqual(data.tasks.map(({ id }) => id), ['ill', 'stage'])
  t.deepEqual((await data.client('south')).tasks.map(({ id }) => id), ['ill'])
  const north = await data.client('north')
  t.deepEqual(north.tasks.map(({ id }) => id), ['ill', 'stage'])
  t.is(north.holdout.count, 0)
})

for (const partition of ['iid', 'dirichlet'] as const) {
  test(`partition ${partition}: the clients' rows are disjoint and cover all sites`, async (t) => {
    const data = await openDataset(await folderOf(t, clinic), { seed: 5, partition, clients: 3, alpha: 0.3, tasks: ['ill', 'stage'] })
    t.deepEqual(data.clientIds, ['shard-1', 'shard-2', 'shard-3'])
    const rows: number[] = []
    for (const id of data.clientIds) {
      const client = await data.client(id)
      rows.push(...rowSet(client))
      // south does not record the stage: its rows are unlabelled wherever they go
      for (const [i, row] of client.train.source.entries()) t.is(client.train.y.stage?.[i], row % 3 === 0 ? NaN : row % 3)
    }
    t.deepEqual(rows.sort((a, b) => a - b), Array.from({ length: 120 }, (_, i) => i))
  })
}

test('more clients than sites divide each site; another number is refused', async (t) => {
  const folder = await folderOf(t, clinic)
  const data = await openDataset(folder, { seed: 1, clients: 4 })
  t.deepEqual(data.clientIds, ['south-1', 'south-2', 'north-1', 'north-2'])
  const [a, b] = [await data.client('north-1'), await data.client('north-2')]
  t.deepEqual([...rowSet(a), ...rowSet(b)].sort((x, y) => x - y), Array.from({ length: 120 }, (_, i) => i).filter((i) => i % 3 !== 0))
  t.deepEqual((await openDataset(folder, { seed: 1, clients: 1 })).clientIds, ['south'])
  await t.throwsAsync(openDataset(folder, { seed: 1, clients: 3 }), { instanceOf: InvalidParametersError })
})

test('a group never straddles training and hold-out', async (t) => {
  const folder = await folderOf(t, { ...clinic, 'fmtl.yaml': manifest.replace('clients:', 'group: age\nclients:') })
  const { train, holdout } = await (await openDataset(folder, { seed: 1 })).client('north')
  const age = (rows: Rows): Set<number> => new Set([...rows.source].map((row) => row % 7 === 0 ? -1 : 30 + row % 50))
  t.deepEqual([...age(train)].filter((v) => age(holdout).has(v)), [])
  t.true(holdout.count > 0)
})

test('unknown clients and tasks are answered with the ones there are', async (t) => {
  const folder = await folderOf(t, clinic)
  const data = await openDataset(folder, { seed: 1 })
  await t.throwsAsync(data.client('west'), { instanceOf: InvalidParametersError, message: /south, north/ })
  await t.throwsAsync(openDataset(folder, { seed: 1, tasks: ['sick'] }), { instanceOf: InvalidParametersError, message: /ill, stage, stay/ })
  for (const options of [{ seed: -1 }, { seed: 1, rows: 1 }, { seed: 1, holdout: 1 }, { seed: 1, alpha: 0 }, { seed: 1, clients: 0 }, { seed: 1, tasks: [] }]) {
    await t.throwsAsync(openDataset(folder, options), { instanceOf: InvalidParametersError })
  }
})

for (const { id, files, path, says, next } of [
  { id: 'nothing there', files: {}, path: 'none', says: /there is no such data set/, next: /built-in name scenes/ },
  { id: 'an empty folder', files: {}, path: '', says: /the folder is empty/, next: /fmtl\.yaml/ },
  { id: 'a folder without a manifest', files: { 'a.bin': 'x' }, path: '', says: /no fmtl\.yaml/, next: /digits, faces/ },
  { id: 'a table without a manifest', files: { 'a.csv': 'x\n1\n' }, path: 'a.csv', says: /without a manifest/, next: /name: my-hospital/ },
  { id: 'a folder with a table and no manifest', files: { 'a.csv': 'x\n1\n' }, path: '', says: /no fmtl\.yaml/, next: /files: \{ rows: a\.csv \}/ },
  { id: 'a manifest whose file is missing', files: { 'fmtl.yaml': manifest }, path: '', says: /rows\.csv: there is no such file/, next: /manifest/ }
]) {
  test(`openDataset: ${id} is a DataError with the next step`, async (t) => {
    const folder = await folderOf(t, files as Record<string, string>)
    const err = await t.throwsAsync(openDataset(join(folder, path), { seed: 1 }), { instanceOf: DataError, message: says })
    t.regex((err as FmtlError).next ?? '', next)
    t.false(err?.message.includes('\n'))
  })
}

for (const { id, from, to, says } of [
  { id: 'a number that is none', from: 'south,?', to: 'south,old', says: /rows\.csv line 2: 'old' in column 'age' is not a number/ },
  { id: 'a category that is none', from: 'south,?,f', to: 'south,?,x', says: /'x' in column 'sex' is none of f, m/ },
  { id: 'a logarithm of a negative number', from: 'south,?,f,0', to: 'south,?,f,-2', says: /no logarithm/ },
  { id: 'a column that is missing', from: ',lactate', to: ',laktat', says: /no column 'lactate', there are site, age/ }
]) {
  test(`a row: ${id} is a DataError with its place`, async (t) => {
    const folder = await folderOf(t, { ...clinic, 'rows.csv': rowsOf(120).replace(from, to) })
    await t.throwsAsync(async () => await (await openDataset(folder, { seed: 1 })).client('south'), { instanceOf: DataError, message: says })
  })
}

// pictures

const pictures = `name: cells
files: { images: '{client}.idx', masks: '{client}-masks.idx', labels: '{client}.csv' }
input: { modality: image, file: images, prepare: [{ divide: 255 }] }
clients: { files: [a, b] }
test: { modulo: 4, equals: 3 }
tasks:
  - { id: seg, kind: dense-classes, file: masks, classes: 3 }
  - { id: rim, kind: dense-binary, file: masks, boundary: true }
  - { id: far, kind: dense-regression, file: masks, distance: true }
  - { id: area, kind: regression, file: masks, share: 2 }
  - { id: type, kind: classes, column: type, classes: [x, y] }
`
const masks = Array.from({ length: 8 * 12 }, (_, i) => (i * i) % 3)
const cells = {
  'fmtl.yaml': pictures,
  'a.idx': idx([8, 3, 4], Array.from({ length: 96 }, (_, i) => i)),
  'a-masks.idx': idx([8, 3, 4], masks),
  'a.csv': 'type\nx\ny\nx\ny\nx\ny\nx\ny\n'
}

test('pictures: every dense label comes from the mask, and a site needs only its own files', async (t) => {
  const data = await openDataset(await folderOf(t, cells), { seed: 1, holdout: 0 })
  t.deepEqual([...data.input.shape], [3, 4, 1])
  const { train, test: tests } = await data.client('a')
  t.deepEqual([...tests.source], [3, 7])
  t.deepEqual([...train.source], [0, 1, 2, 4, 5, 6])
  t.deepEqual([...train.y.seg?.subarray(12, 24) ?? []], masks.slice(12, 24))
  t.deepEqual([...train.y.rim?.subarray(0, 12) ?? []], [...boundary(Uint8Array.from(masks.slice(0, 12)), 3, 4)])
  t.true(Math.abs((train.y.area?.[0] as number) - masks.slice(0, 12).filter((v) => v === 2).length / 12) < 1e-6)
  t.true(Math.abs((train.x[1] as number) - 1 / 255) < 1e-7)
  t.deepEqual([...train.y.type ?? []], [0, 1, 0, 0, 1, 0])
  await t.throwsAsync(data.client('b'), { instanceOf: DataError, message: /b\.idx: there is no such file/ })
})

for (const { id, change, says } of [
  { id: 'unequal counts', change: { 'a-masks.idx': idx([7, 3, 4], masks.slice(12)) }, says: /7 rows, but .*a\.idx has 8/ },
  { id: 'a short table', change: { 'a.csv': 'type\nx\ny\n' }, says: /2 rows, but .*a\.idx has 8/ },
  { id: 'a mask of another size', change: { 'a-masks.idx': idx([8, 4, 3], masks) }, says: /labels of \[4, 3\] for an input of \[3, 4, 1\]/ },
  { id: 'a pixel outside the classes', change: { 'a-masks.idx': idx([8, 3, 4], masks.map((v, i) => i === 17 ? 9 : v)) }, says: /row 1: label 9 is no class of task 'seg' \(0, 1, 2\)/ },
  { id: 'a label outside the classes', change: { 'a.csv': 'type\nx\ny\nx\nz\nx\ny\nx\ny\n' }, says: /a\.csv line 5: 'z' in column 'type' is no class of task 'type' \(x, y\)/ }
]) {
  test(`pictures: ${id} is a DataError`, async (t) => {
    const folder = await folderOf(t, { ...cells, ...change })
    await t.throwsAsync(async () => await (await openDataset(folder, { seed: 1 })).client('a'), { instanceOf: DataError, message: says })
  })
}

test('prepare: means of squares, repeated edges, a removed mean', async (t) => {
  const folder = await folderOf(t, {
    'fmtl.yaml': `name: p
files: { images: p.idx, labels: l.idx }
input: { modality: image, file: images, prepare: [{ average: 2 }, { pad: [3, 4] }, { subtract: 1 }, { divide: 2 }, { removeMean: true }] }
clients: { single: p }
test: { modulo: 2, equals: 1 }
tasks: [{ id: odd, kind: classes, file: labels, modulo: 2 }]
`,
    'p.idx': idx([2, 2, 4], [1, 3, 5, 7, 5, 7, 9, 11, 0, 0, 0, 0, 0, 0, 0, 0]),
    'l.idx': idx([2], [5, 6])
  })
  const data = await openDataset(folder, { seed: 1 })
  t.deepEqual([...data.input.shape], [3, 4, 1])
  const { train } = await data.client('p')
  // averages 4 and 8; padded to 4 4 8 8 in three rows; (v - 1) / 2 is 1.5 and 3.5; minus the mean 2.5
  t.deepEqual([...train.x], [-1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1])
  t.deepEqual([...train.y.odd ?? []], [1])
})

test('a picture file\'s row can be named by a column of the table', async (t) => {
  const folder = await folderOf(t, {
    'fmtl.yaml': `name: p
files: { images: p.idx, labels: l.csv }
index: picture
input: { modality: image, file: images }
clients: { single: p }
test: { column: test, equals: 1 }
tasks: [{ id: kind, kind: classes, column: kind, classes: [a, b] }]
`,
    'p.idx': idx([3, 1, 1], [10, 20, 30]),
    'l.csv': 'picture,kind,test\n2,a,0\n0,b,1\n'
  })
  const { train, test: tests } = await (await openDataset(folder, { seed: 1 })).client('p')
  t.deepEqual([[...train.x], [...tests.x]], [[30], [10]])
})

testProp('signed distance agrees with a search over all pixels', [fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 7 }), fc.nat()], (t, h, w, seed) => {
  const mask = Uint8Array.from({ length: h * w }, (_, i) => (Math.imul(seed + 1, i * i + 7 * i + 3) >>> 4) % 2)
  const got = signedDistance(mask, h, w)
  for (let i = 0; i < h * w; i++) {
    let best = h * h + w * w
    for (let j = 0; j < h * w; j++) {
      if ((mask[j] !== 0) !== (mask[i] !== 0)) best = Math.min(best, (Math.floor(i / w) - Math.floor(j / w)) ** 2 + (i % w - j % w) ** 2)
    }
    t.true(Math.abs((got[i] as number) - (mask[i] !== 0 ? 1 : -1) * Math.sqrt(best)) < 1e-5)
  }
}, { numRuns: 60 })

// series and tokens

test('series: windows look back within the client, targets look ahead within it', async (t) => {
  const folder = await folderOf(t, {
    'fmtl.yaml': `name: s
files: { rows: s.csv }
input: { modality: series, window: 3, columns: [{ name: v }] }
clients: { column: room }
test: { modulo: 4, equals: 3, block: 2 }
holdout: { policy: last, by: v }
tasks: [{ id: next, kind: regression, column: v, ahead: 2 }]
recipe: { holdout: 0.2 }
`,
    's.csv': ['room,v', ...Array.from({ length: 16 }, (_, i) => `${i < 8 ? 'a' : 'b'},${i}`)].join('\n')
  })
  const data = await openDataset(folder, { seed: 1 })
  const { train, holdout, test: tests } = await data.client('b')
  t.deepEqual([...data.input.shape], [3, 1])
  t.deepEqual([[...train.source], [...holdout.source], [...tests.source]], [[8, 9, 10, 11, 12], [13], [14, 15]])
  t.deepEqual([...train.x], [8, 8, 8, 8, 8, 9, 8, 9, 10, 9, 10, 11, 10, 11, 12])
  t.deepEqual([...train.y.next ?? []], [10, 11, 12, 13, 14])
  t.deepEqual([...tests.y.next ?? []], [NaN, NaN])
})

test('tokens: slots of a token are padded with -1, and tags stay beside their tokens', async (t) => {
  const folder = await folderOf(t, {
    'fmtl.yaml': `name: t
files: { rows: t.tsv }
input: { modality: tokens, column: text, split: spaces, length: 3, buckets: 64, prefix: 2, suffix: 2, ngram: 3, slots: 6 }
clients: { single: t }
test: { modulo: 2, equals: 1 }
tasks:
  - { id: tags, kind: token-classes, column: tags, classes: [O, B-x] }
  - { id: kind, kind: classes, column: kind, classes: [q, s] }
`,
    't.tsv': 'text\ttags\tkind\nplay it\tO B-x\tq\na b c d e\tO O O O O\ts\n'
  })
  const data = await openDataset(folder, { seed: 1 })
  t.is(data.input.buckets, 64)
  const { train, test: tests } = await data.client('t')
  t.is(train.x.length, 3 * 6)
  const rule = { buckets: 64, prefix: 2, suffix: 2, ngram: 3, slots: 6 }
  const play = tokenBuckets('play', rule)
  t.deepEqual([...train.x.subarray(0, 6)], [...play, ...Array.from({ length: 6 - play.length }, () => -1)])
  t.true(train.x.subarray(12).every((v) => v === -1))
  t.deepEqual([...train.y.tags ?? []], [0, 1, -1])
  t.deepEqual([...tests.y.tags ?? []], [0, 0, 0])
})

test('words are parted from punctuation, and case does not change the buckets', (t) => {
  t.deepEqual(tokenise('Don\'t buy it, 5 stars!'), ['Don\'t', 'buy', 'it', ',', '5', 'stars', '!'])
  t.deepEqual(tokenise(' el  clásico '), ['el', 'clásico'])
  const rule = { buckets: 4096, prefix: 3, suffix: 3, ngram: 4, slots: 12 }
  t.deepEqual(tokenBuckets('Great', rule), tokenBuckets('great', rule))
  t.notDeepEqual(tokenBuckets('great', rule), tokenBuckets('grease', rule))
  t.true(tokenBuckets('great', rule).filter((b) => tokenBuckets('greatly', rule).includes(b)).length >= 2)
})

testProp('hashed features stay inside the buckets and the slots', [fc.string({ unit: 'grapheme', maxLength: 30 }), fc.integer({ min: 16, max: 5000 }), fc.integer({ min: 1, max: 20 })], (t, token, buckets, slots) => {
  const found = tokenBuckets(token, { buckets, prefix: 3, suffix: 3, ngram: 4, slots })
  t.true(found.length >= 1 && found.length <= slots)
  t.true(found.every((b) => Number.isInteger(b) && b >= 0 && b < buckets))
})

test('ring: each client has its own value and the next one\'s, and no row twice', async (t) => {
  const folder = await folderOf(t, {
    'fmtl.yaml': `name: r
files: { rows: r.csv }
input: { modality: table, columns: [{ name: v }] }
clients: { ring: { column: kind, own: 4, next: 3, test: own } }
train: { column: split, equals: [train] }
test: { column: split, equals: test }
tasks: [{ id: kind, kind: classes, column: kind, classes: [a, b, c] }]
`,
    'r.csv': ['v,kind,split', ...Array.from({ length: 60 }, (_, i) => `${i},${'cab'[i % 3]},${['train', 'train', 'train', 'test', 'spare'][i % 5]}`)].join('\n')
  })
  const data = await openDataset(folder, { seed: 1 })
  t.deepEqual(data.clientIds, ['client-0', 'client-1', 'client-2'])
  const seen: number[] = []
  for (const [k, id] of data.clientIds.entries()) {
    const { train, holdout, test: tests } = await data.client(id)
    const labels = [...train.y.kind ?? [], ...holdout.y.kind ?? []]
    t.is(labels.filter((v) => v === k).length, 4)
    t.is(labels.filter((v) => v === (k + 1) % 3).length, 3)
    t.true(tests.y.kind?.every((v) => v !== (k + 2) % 3))
    seen.push(...train.source, ...holdout.source)
  }
  t.is(new Set(seen).size, seen.length)
  t.true(seen.every((row) => row % 5 < 3))
})

// check

test('check: a good set is ok, with its counts', async (t) => {
  const { ok, samples, clients, tasks, problems } = await checkDataset(await folderOf(t, clinic), { seed: 1 })
  t.true(ok)
  t.deepEqual(problems, [])
  t.is(samples, 120)
  t.deepEqual(clients.map(({ id }) => id), ['south', 'north'])
  t.deepEqual(tasks.map(({ id, support }) => [id, support]), [['ill', 120], ['stage', 80], ['stay', 109]])
  t.deepEqual(tasks[1]?.classes, { none: 0, early: 40, late: 40 })
})

test('check: every problem is collected, named once, and does not hide the others', async (t) => {
  const rows = rowsOf(120).replace('south,?', 'south,old').replace(/^north,(.*),1,(\d*),train$/m, 'north,$1,7,$2,train')
  const { ok, problems, clients } = await checkDataset(await folderOf(t, { ...clinic, 'rows.csv': rows }), { seed: 1 })
  t.false(ok)
  t.deepEqual(clients, [])
  t.is(problems.filter((p) => p.includes('\'old\' in column \'age\'')).length, 1)
  t.is(problems.filter((p) => p.includes('\'7\' in column \'score\' is no class of task \'stage\'')).length, 1)
})

test('check: constant columns, rare classes and few rows are warnings', async (t) => {
  const rows = rowsOf(120).split('\n').map((line, i) => i === 0 ? line : line.replace(/,([^,]*),(f|m),/, ',44,f,')).join('\n')
  const { ok, warnings } = await checkDataset(await folderOf(t, { ...clinic, 'rows.csv': rows }), { seed: 1 })
  t.true(ok)
  t.true(warnings.some((w) => w.startsWith('column \'age\' is the same')))
  t.true(warnings.some((w) => w.includes('no row of class none')))
  t.true(warnings.some((w) => w.startsWith('client \'south\': no test row')))
})

test('check: one site is looked at without the others\' files', async (t) => {
  const folder = await folderOf(t, cells)
  t.true((await checkDataset(folder, { seed: 1, only: ['a'] })).ok)
  const { ok, problems } = await checkDataset(folder, { seed: 1 })
  t.false(ok)
  t.deepEqual(problems.length, 1)
  t.regex(problems[0] as string, /b\.idx: there is no such file: check the path/)
})

test('check: a path with nothing, and the built-in scenes', async (t) => {
  const none = await checkDataset('no-such-folder', { seed: 1 })
  t.false(none.ok)
  t.regex(none.problems[0] as string, /there is no such data set/)
  const scenes = await checkDataset('scenes', { seed: 1, clients: 1, rows: 8 })
  t.true(scenes.ok)
  t.is(scenes.tasks.length, 4)
})
