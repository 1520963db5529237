import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { fc, testProp } from '@fast-check/ava'
import test from 'ava'
import { readBytes } from '../../src/data/readers/bytes.ts'
import { parseCsv, readCsv } from '../../src/data/readers/csv.ts'
import { readIdx, readIdxShape } from '../../src/data/readers/idx.ts'
import { DataError } from '../../src/errors.ts'
import { folderOf, idx } from '../helpers/files.ts'

testProp('idx: what is written is read, plain and packed', [
  fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }), fc.nat(), fc.boolean()
], async (t, shape, seed, packed) => {
  const data = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (seed + i * 37) % 256)
  const folder = await folderOf(t as never, { a: packed ? gzipSync(idx(shape, data)) : idx(shape, data) })
  const array = await readIdx(join(folder, 'a'))
  t.deepEqual([...array.shape], shape)
  t.deepEqual([...array.data], data)
  t.deepEqual([...await readIdxShape(join(folder, 'a'))], shape)
}, { numRuns: 20 })

const huge = idx([0xffffffff, 0xffffffff, 0xffff], [1, 2, 3])
for (const { id, content, says } of [
  { id: 'an empty file', content: new Uint8Array(), says: /too short/ },
  { id: 'a picture', content: Buffer.from('\x89PNG\r\n\x1a\n more'), says: /not an IDX file \(it starts with 0x/ },
  { id: 'a text', content: Buffer.from('age,sex\n63,1\n'), says: /not an IDX file/ },
  { id: 'floats', content: idx([2], [0, 0, 0, 0, 0, 0, 0, 0], 13), says: /32-bit floats/ },
  { id: 'five dimensions', content: idx([1, 1, 1, 1, 1], [1]), says: /5 dimensions/ },
  { id: 'a size of 0', content: idx([0, 4], []), says: /dimension of 0/ },
  { id: 'a file that is cut off', content: idx([10], [1, 2, 3]), says: /takes 18 bytes, but it has 11/ },
  { id: 'a file with a tail', content: idx([2], [1, 2, 3]), says: /takes 10 bytes/ },
  { id: 'a header that ends early', content: Buffer.from([0, 0, 8, 3, 0, 0, 0, 1]), says: /ends within/ },
  { id: 'sizes beyond any memory', content: huge, says: /header says/ },
  { id: 'packed sizes beyond any memory', content: gzipSync(huge), says: /too small to hold that/ },
  { id: 'a packed file with less than it says', content: gzipSync(idx([50], [1])), says: /takes 58 bytes, but it has 9/ },
  { id: 'gzip that is cut off', content: gzipSync(idx([4000], Array.from({ length: 4000 }, (_, i) => (i * i * 7919) % 251))).subarray(0, 200), says: /broken gzip|takes 4008/ },
  { id: 'gzip that is no gzip', content: Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8]), says: /broken gzip/ }
]) {
  test(`idx: ${id} is a DataError`, async (t) => {
    const folder = await folderOf(t, { a: content })
    const err = await t.throwsAsync(readIdx(join(folder, 'a')), { instanceOf: DataError, message: says })
    t.truthy(err?.next)
    t.false(err?.message.includes('\n'))
  })
}

testProp('idx: any bytes give an array or a DataError', [fc.uint8Array({ maxLength: 60 }), fc.boolean()], async (t, bytes, withMagic) => {
  const folder = await folderOf(t as never, { a: withMagic ? Buffer.concat([Buffer.from([0, 0, 8, 2]), bytes]) : bytes })
  try {
    const { shape, data } = await readIdx(join(folder, 'a'))
    t.is(data.length, shape.reduce((a, b) => a * b, 1))
  } catch (err) {
    t.true(err instanceof DataError)
  }
}, { numRuns: 50 })

test('bytes: a missing file, a folder and an unreadable file are told apart', async (t) => {
  const folder = await folderOf(t, { secret: 'x', empty: '' })
  await t.throwsAsync(readBytes(join(folder, 'none')), { instanceOf: DataError, message: /no such file/ })
  await t.throwsAsync(readBytes(folder), { instanceOf: DataError, message: /it is a folder/ })
  await t.throwsAsync(readBytes(join(folder, 'empty')), { instanceOf: DataError, message: /is empty/ })
  if (process.getuid?.() === 0) return t.log('root may read everything: the permission case is not tested')
  await chmod(join(folder, 'secret'), 0)
  await t.throwsAsync(readBytes(join(folder, 'secret')), { instanceOf: DataError, message: /may not read/ })
})

test('bytes: a bomb and a file over the limit are refused', async (t) => {
  const folder = await folderOf(t, { bomb: gzipSync(Buffer.alloc(80 * 2 ** 20)), large: Buffer.alloc(2000) })
  await t.throwsAsync(readBytes(join(folder, 'bomb')), { instanceOf: DataError, message: /more than 64 MiB/ })
  await t.throwsAsync(readBytes(join(folder, 'large'), { maxBytes: 1000 }), { instanceOf: DataError })
  t.is((await readBytes(join(folder, 'large'), { maxBytes: 2000 })).length, 2000)
})

test('csv: header, quotes, spaces, blank lines and a byte order mark', (t) => {
  const table = parseCsv('\uFEFFage, sex ,note\n63,1,"a, ""b"""\n\n 41 ,0,\n', 'x.csv')
  t.deepEqual([...table.columns], ['age', 'sex', 'note'])
  t.is(table.count, 2)
  t.deepEqual([...table.column('age')], ['63', '41'])
  t.deepEqual([...table.column('note')], ['a, "b"', ''])
})

test('csv: in a .tsv quotes are ordinary characters', async (t) => {
  const folder = await folderOf(t, { 'a.tsv.gz': gzipSync('site\ttext\nimdb\tA "great film\n') })
  t.deepEqual([...(await readCsv(join(folder, 'a.tsv.gz'))).column('text')], ['A "great film'])
})

for (const { id, text, says, init } of [
  { id: 'an unequal line', text: 'a,b\n1,2\n3\n', says: /line 3/ },
  { id: 'no rows', text: 'a,b\n', says: /no rows/ },
  { id: 'a column twice', text: 'a,a\n1,2\n', says: /two columns are named 'a'/ },
  { id: 'an open quote', text: 'a,b\n"1,2\n', says: /x\.csv/ },
  { id: 'too many rows', text: 'a\n1\n2\n3\n', says: /more than 2 rows/, init: { maxRows: 2 } },
  { id: 'too many columns', text: 'a,b,c\n1,2,3\n', says: /3 columns/, init: { maxColumns: 2 } }
]) {
  test(`csv: ${id} is a DataError`, (t) => {
    t.throws(() => parseCsv(text, 'x.csv', init), { instanceOf: DataError, message: says })
  })
}

test('csv: a missing column names itself and the ones there are', (t) => {
  const table = parseCsv('age,sex\n63,1\n', 'x.csv')
  t.throws(() => table.column('chol'), { instanceOf: DataError, message: 'x.csv: no column \'chol\', there are age, sex' })
  const err = t.throws(() => parseCsv('age;sex\n63;1\n', 'x.csv').column('age'), { instanceOf: DataError })
  t.regex(err?.next ?? '', /delimiter/)
  t.deepEqual([...parseCsv('age;sex\n63;1\n', 'x.csv', { delimiter: ';' }).column('sex')], ['1'])
})

test('csv: a workbook is not taken for a table', async (t) => {
  const folder = await folderOf(t, { 'a.csv': Buffer.from([0x50, 0x4b, 3, 4, 0xff, 0xfe, 0x80]) })
  await t.throwsAsync(readCsv(join(folder, 'a.csv')), { instanceOf: DataError, message: /not UTF-8/ })
})
