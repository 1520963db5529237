/** Texts as the word pieces of a foundation model. */
import { join } from 'node:path'
import test from 'ava'
import { DataError } from '../../src/errors.ts'
import { compare } from '../../src/data/check-charter.ts'
import { openDataset } from '../../src/data/open.ts'
import { folderOf } from '../helpers/files.ts'
import { piecesOf, reviewsManifest, tokenizerJson } from '../helpers/word-pieces.ts'
import { readTokenizer } from '../../src/data/tokenizer.ts'
import type { ExecutionContext } from 'ava'

const MANIFEST = reviewsManifest(6)
const ROWS = `site,test,liked,text
north,0,yes,The film was good.
north,0,no,Bad food!
north,1,yes,"I like it, and the food is very good and warm."
south,0,yes,x
south,0,no,was bad
south,1,no,I hated it
`

async function folderWith (t: ExecutionContext, files: Readonly<Record<string, string>>): Promise<string> {
  return await folderOf(t, { 'fmtl.yaml': MANIFEST, 'rows.csv': ROWS, 'tokenizer.json': tokenizerJson(), ...files })
}

test('a text becomes its pieces between those that the model wants, padded, and cut before the last', async t => {
  const dataset = await openDataset(await folderWith(t, {}), { seed: 1, holdout: 0 })
  const { tokenizer, ...input } = dataset.input
  t.deepEqual(input, { modality: 'tokens', shape: [6, 1], buckets: 50 })
  t.regex(tokenizer ?? '', /^[0-9a-f]{16}$/)
  const { train, test } = await dataset.client('north')
  const texts = Array.from({ length: train.count }, (_, row) => [...train.x.subarray(row * 6, row * 6 + 6)])
  t.deepEqual(texts.find(text => text.includes(piecesOf('film')[0] as number)), piecesOf('[CLS]', 'the', 'film', 'was', 'good', '[SEP]'))
  t.deepEqual(texts.find(text => text.includes(piecesOf('bad')[0] as number)), [...piecesOf('[CLS]', 'bad', 'food', '!', '[SEP]'), -1])
  t.deepEqual([...test.x], piecesOf('[CLS]', 'i', 'like', 'it', ',', '[SEP]'))
  const south = await dataset.client('south')
  t.deepEqual([...south.test.x], piecesOf('[CLS]', 'i', 'hate', '##d', 'it', '[SEP]'))
})

test('a site with another tokenizer is told so', async t => {
  const [one, other] = [await openDataset(await folderWith(t, {}), { seed: 1 }), await openDataset(await folderWith(t, { 'tokenizer.json': tokenizerJson().replace('"dull"', '"grim"') }), { seed: 1 })]
  const problems = new Set<string>()
  compare({ input: one.input, tasks: one.tasks }, other, problems, new Set())
  t.is(problems.size, 1)
  t.regex([...problems].join(), /^tokenizer of input: /)
})

const WRONG: ReadonlyArray<{ id: string, files: Readonly<Record<string, string>>, says: RegExp }> = [
  { id: 'no such tokenizer', files: { 'fmtl.yaml': MANIFEST.replace('tokenizer.json', 'other.json') }, says: /other\.json: there is no such file/ },
  { id: 'a tokenizer outside the folder', files: { 'fmtl.yaml': MANIFEST.replace('tokenizer.json', '../tokenizer.json') }, says: /not below the data folder/ },
  { id: 'a tokenizer that is no JSON', files: { 'tokenizer.json': '{' }, says: /no tokenizer that can be used/ },
  { id: 'a tokenizer of an unknown kind', files: { 'tokenizer.json': '{"model":{"type":"Runes"}}' }, says: /no tokenizer that can be used/ },
  { id: 'hashing beside a tokenizer', files: { 'fmtl.yaml': MANIFEST.replace('length: 6', 'length: 6, ngram: 4') }, says: /input\.ngram: has no meaning beside tokenizer/ },
  { id: 'neither buckets nor a tokenizer', files: { 'fmtl.yaml': MANIFEST.replace(', tokenizer: tokenizer.json', '') }, says: /the key 'buckets' is missing/ },
  { id: 'labels of the file\'s own tokens', files: { 'fmtl.yaml': `${MANIFEST.trimEnd().slice(0, -1)}, { id: tags, kind: token-classes, column: tags, classes: [a, b] }]\n` }, says: /task 'tags' labels the file's own tokens/ }
]
for (const { id, files, says } of WRONG) {
  test(`one line says what is wrong: ${id}`, async t => {
    const folder = await folderWith(t, files)
    const error = await t.throwsAsync(openDataset(folder, { seed: 1 }), { instanceOf: DataError, message: says }) as DataError
    t.false(error.message.includes('\n'))
  })
}

test('the same text has the same pieces every time, and a longer length changes only padding', async t => {
  const pieces = await readTokenizer(join(await folderWith(t, {}), 'tokenizer.json'))
  t.is(pieces.count, 50)
  t.deepEqual(pieces.encode('very good', 9), piecesOf('[CLS]', 'very', 'good', '[SEP]'))
  t.deepEqual(pieces.encode('very good', 9), pieces.encode('very  GOOD', 4))
  t.deepEqual(pieces.encode('zebra', 4), piecesOf('[CLS]', '[UNK]', '[SEP]'))
})
