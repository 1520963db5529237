import { deflateSync } from 'node:zlib'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { DataError } from '../../src/errors.ts'
import { checkDataset } from '../../src/data/check.ts'
import { chunk, png, pngHeader } from '../helpers/png.ts'
import { folderOf } from '../helpers/files.ts'
import { openDataset } from '../../src/data/open.ts'
import { readPng, readPngShape } from '../../src/data/readers/png.ts'
import { writeFile } from 'node:fs/promises'
import type { PngInit } from '../helpers/png.ts'

const ramp = (n: number, most = 255): number[] => Array.from({ length: n }, (_, i) => (i * 37 + 11) % (most + 1))

const KINDS: ReadonlyArray<{ id: string, init: PngInit, channels: number, want: number[] }> = [
  { id: 'grey', init: { width: 5, height: 4, samples: ramp(20), filters: [0, 1, 2, 3, 4] }, channels: 1, want: ramp(20) },
  { id: 'colour, every filter', init: { width: 5, height: 6, samples: ramp(90), colour: 2, filters: [4, 3, 2, 1, 0] }, channels: 3, want: ramp(90) },
  { id: 'colour with transparency', init: { width: 3, height: 2, samples: ramp(24), colour: 6, filters: [4, 1] }, channels: 3, want: ramp(24).filter((_, i) => i % 4 !== 3) },
  { id: 'grey with transparency', init: { width: 3, height: 2, samples: ramp(12), colour: 4, filters: [3, 4] }, channels: 1, want: ramp(12).filter((_, i) => i % 2 === 0) },
  { id: 'grey of 16 bits', init: { width: 2, height: 2, samples: [0x1234, 0xff01, 0, 0xabcd], depth: 16, filters: [1, 2] }, channels: 1, want: [0x12, 0xff, 0, 0xab] },
  { id: 'colour of 16 bits', init: { width: 1, height: 1, samples: [0x1234, 0xff01, 0x00ff], colour: 2, depth: 16 }, channels: 3, want: [0x12, 0xff, 0] },
  { id: 'black and white', init: { width: 9, height: 2, samples: ramp(18, 1), depth: 1 }, channels: 1, want: ramp(18, 1).map((v) => 255 * v) },
  { id: 'grey of 4 bits', init: { width: 3, height: 1, samples: [0, 7, 15], depth: 4 }, channels: 1, want: [0, 119, 255] },
  { id: 'palette of 2 bits', init: { width: 3, height: 1, samples: [2, 0, 1], depth: 2, colour: 3, palette: [1, 2, 3, 4, 5, 6, 7, 8, 9] }, channels: 3, want: [7, 8, 9, 1, 2, 3, 4, 5, 6] }
]
for (const { id, init, channels, want } of KINDS) {
  test(`png: ${id}`, async (t) => {
    const path = join(await folderOf(t, { 'a.png': png(init) }), 'a.png')
    const picture = await readPng(path)
    t.deepEqual([picture.height, picture.width, picture.channels], [init.height, init.width, channels])
    t.deepEqual([...picture.data], want)
    t.deepEqual(await readPngShape(path), { height: init.height, width: init.width, channels })
  })
}

const SMALL = png({ width: 4, height: 4, samples: ramp(16) })
const packed = (raw: Uint8Array): Buffer => Buffer.concat([pngHeader({ width: 4, height: 4 }), chunk('IDAT', deflateSync(raw)), chunk('IEND', new Uint8Array())])
const BROKEN: ReadonlyArray<{ id: string, bytes: Uint8Array | string, says: RegExp }> = [
  { id: 'an empty file', bytes: '', says: /a\.png: the file is empty/ },
  { id: 'a text file', bytes: 'hello, this is no picture', says: /a\.png: no PNG \(it starts with 'hello, t'\)/ },
  { id: 'a JPEG', bytes: Uint8Array.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70]), says: /a\.png: no PNG/ },
  { id: 'a file cut in its header', bytes: SMALL.subarray(0, 20), says: /a\.png: cut off after 20 bytes/ },
  { id: 'a file cut in its picture', bytes: SMALL.subarray(0, SMALL.length - 20), says: /a\.png: cut off after \d+ bytes/ },
  { id: 'a file without its end', bytes: SMALL.subarray(0, SMALL.length - 12), says: /a\.png: cut off after \d+ bytes/ },
  { id: 'a byte changed', bytes: SMALL.with(SMALL.length - 20, (SMALL[SMALL.length - 20] as number) ^ 1), says: /a\.png: damaged at byte \d+ \(checksum\)/ },
  { id: 'a header changed', bytes: SMALL.with(18, 9), says: /a\.png: a damaged PNG header/ },
  { id: 'a side of 65535', bytes: pngHeader({ width: 65535, height: 65535 }), says: /65535 x 65535, 1 to 4096/ },
  { id: 'a side of nought', bytes: pngHeader({ width: 0, height: 4 }), says: /0 x 4/ },
  { id: 'an interlaced file', bytes: png({ width: 4, height: 4, samples: ramp(16), interlace: 1 }), says: /interlaced/ },
  { id: 'too few rows', bytes: packed(new Uint8Array(10)), says: /damaged picture data \(10 of 20 bytes\)/ },
  { id: 'a bomb', bytes: packed(new Uint8Array(50_000_000)), says: /damaged picture data \(more than the header says\)/ },
  { id: 'a filter that is none', bytes: packed(new Uint8Array(20).fill(9)), says: /filter 9/ },
  { id: 'a palette that is missing', bytes: png({ width: 1, height: 1, samples: [0], colour: 3 }), says: /without its palette/ },
  { id: 'a colour beyond the palette', bytes: png({ width: 1, height: 1, samples: [3], colour: 3, palette: [1, 2, 3] }), says: /palette does not have/ }
]
for (const { id, bytes, says } of BROKEN) {
  test(`png: ${id} is named with its cause`, async (t) => {
    const path = join(await folderOf(t, { 'a.png': bytes }), 'a.png')
    const err = await t.throwsAsync(readPng(path), { instanceOf: DataError, message: says })
    t.false(err?.message.includes('\n'))
  })
}

test('png: whatever is changed, a picture or a DataError comes out', async (t) => {
  const path = join(await folderOf(t, {}), 'a.png')
  await fc.assert(fc.asyncProperty(fc.nat(SMALL.length - 1), fc.nat(255), fc.nat(SMALL.length), async (at, value, end) => {
    await writeFile(path, SMALL.with(at, value).subarray(0, end))
    await readPng(path).catch((err: unknown) => { if (!(err instanceof DataError)) throw err })
  }), { numRuns: 500 })
  t.pass()
})

const MANIFEST = `name: pets
files: { pictures: pictures/ }
input: { modality: image, file: pictures, prepare: [{ divide: 255 }] }
clients: { single: here }
test: { share: 0.25, stratify: animal }
tasks: [{ id: animal, kind: classes, column: folder, classes: [cat, dog] }]
`
/** Cats are dark and dogs are light. */
const pet = (i: number): Buffer => png({ width: 4, height: 4, samples: Array.from({ length: 16 }, () => i % 2 === 0 ? 10 + i : 200 + i) })
const name = (i: number): string => `pictures/${i % 2 === 0 ? 'cat' : 'dog'}/${String(i).padStart(2, '0')}.png`
const PETS: Readonly<Record<string, string | Uint8Array>> = { 'fmtl.yaml': MANIFEST, 'pictures/.hidden': 'x', ...Object.fromEntries(Array.from({ length: 48 }, (_, i) => [name(i), pet(i)])) }

test('a folder of pictures per class is a data set', async (t) => {
  const { ok, samples, rows, input, tasks, problems, skipped } = await checkDataset(await folderOf(t, PETS), { seed: 1 })
  t.deepEqual({ ok, samples, problems, skipped }, { ok: true, samples: 48, problems: [], skipped: { count: 0, named: [] } })
  t.deepEqual(rows, { train: 29, holdout: 7, test: 12 })
  t.deepEqual(input, { modality: 'image', shape: [4, 4, 1] })
  t.deepEqual(tasks, [{ id: 'animal', kind: 'classes', support: 48, classes: { cat: 24, dog: 24 }, labels: ['cat', 'dog'] }])
})

test('each picture keeps its own label', async (t) => {
  const data = await (await openDataset(await folderOf(t, { ...PETS, [name(7)]: 'broken' }), { seed: 1 })).client('here')
  for (const { count, x, y } of [data.train, data.holdout, data.test]) {
    for (let row = 0; row < count; row++) t.is((x[16 * row] as number) > 0.5 ? 1 : 0, (y.animal as Float32Array)[row] as number)
  }
  t.is(data.train.count + data.holdout.count + data.test.count, 47)
})

test('broken pictures are left out, counted and named with their causes', async (t) => {
  const folder = await folderOf(t, { ...PETS, [name(3)]: pet(3).subarray(0, 60), [name(8)]: '' })
  const { ok, samples, skipped, warnings } = await checkDataset(folder, { seed: 1 })
  t.deepEqual([ok, samples, skipped.count], [true, 46, 2])
  t.deepEqual(skipped.named, [`${join(folder, name(8))}: the file is empty`, `${join(folder, name(3))}: cut off after 60 bytes`])
  t.deepEqual(warnings.filter((line) => line.startsWith('left out: ')).length, 2)
})

test('too many broken pictures are a problem, and the first of them are named', async (t) => {
  const broken = Object.fromEntries([1, 4, 9, 20].map((i) => [name(i), 'text in a file named .png']))
  const { ok, problems } = await checkDataset(await folderOf(t, { ...PETS, ...broken }), { seed: 1 })
  t.false(ok)
  t.is(problems.length, 1)
  t.regex(problems[0] as string, /4 of 48 samples cannot be read, at most 2 are left out: .*cat\/04\.png: no PNG \(it starts with 'text in '\); .*cat\/20\.png: .*dog\/01\.png: .*; and 1 more/)
})

test('a picture of another size is left out', async (t) => {
  const { skipped } = await checkDataset(await folderOf(t, { ...PETS, [name(5)]: png({ width: 8, height: 8, samples: ramp(64) }) }), { seed: 1 })
  t.regex(skipped.named.join(), /dog\/05\.png: 8 x 8 x 1, the others are 4 x 4 x 1$/)
})

const LABELS = MANIFEST.replace('pictures/ }', 'pictures/, labels: labels.csv }\nindex: file').replace('column: folder', 'column: species').replace('name: pets', 'name: listed')

test('labels may stand in a table that names the pictures', async (t) => {
  const list = ['file,species', ...Array.from({ length: 48 }, (_, i) => `${name(i).replace('pictures/', '')},${i % 2 === 0 ? 'cat' : 'dog'}`).reverse()]
  const broken = { ...PETS, 'fmtl.yaml': LABELS, 'labels.csv': [...list, 'dog/absent.png,dog'].join('\n'), [name(2)]: '' }
  const folder = await folderOf(t, broken)
  const { ok, samples, skipped } = await checkDataset(folder, { seed: 1 })
  t.deepEqual([ok, samples], [true, 47])
  t.deepEqual(skipped.named, [`${join(folder, name(2))}: the file is empty`, `${join(folder, 'labels.csv')} line 50: there is no picture 'dog/absent.png'`])
  const data = await (await openDataset(folder, { seed: 1 })).client('here')
  for (const { count, x, y } of [data.train, data.holdout, data.test]) {
    for (let row = 0; row < count; row++) t.is((x[16 * row] as number) > 0.5 ? 1 : 0, (y.animal as Float32Array)[row] as number)
  }
  const { problems } = await checkDataset(await folderOf(t, { ...broken, 'fmtl.yaml': LABELS.replace('index: file\n', '') }), { seed: 1 })
  t.regex(problems.join(), /index is missing: the column of the table with the file names/)
})

test('an empty picture folder and one that is not there are problems', async (t) => {
  for (const files of [{ 'fmtl.yaml': MANIFEST }, { 'fmtl.yaml': MANIFEST, 'pictures/.keep': '' }]) {
    const { ok, problems } = await checkDataset(await folderOf(t, files), { seed: 1 })
    t.false(ok)
    t.regex(problems.join(), /pictures\/?: (there is no such file|no picture in it)/)
  }
})
