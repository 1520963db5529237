/** From a folder to one file, and what is said of folders and files that cannot be used. */
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { FoundationError, InvalidParametersError } from '../../src/errors.ts'
import { charterHash, createCharter, readCharter } from '../../src/federation/charter.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { decodeSafetensors, encodeSafetensors } from '../../node/store/safetensors.ts'
import { encode } from '../../src/compression/index.ts'
import { exitStatus } from '../../node/cli/exit-codes.ts'
import { fitPicture } from '../../src/foundation/pictures.ts'
import { folderOf, foundationCharter, importTiny } from '../helpers/foundation.ts'
import { preparation } from '../../src/foundation/hugging-face.ts'
import { readFoundation, startFromFile, writeFoundation } from '../../node/foundation/file.ts'
import { startWeights } from '../../src/foundation/weights.ts'
import { PICTURES, SIDE } from '../helpers/synthetic.ts'
import type { ExecutionContext } from 'ava'
import type { LoadedFoundation } from '../../src/foundation/weights.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

const TEXTS = { modality: 'tokens', shape: [7, 1], buckets: 50, tokenizer: '0123456789abcdef' } as const

async function scratch (t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fmtl-foundation-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

/** A copy of a tiny model's folder, to be changed. */
async function copyOf (t: ExecutionContext, name: string): Promise<string> {
  const folder = await scratch(t)
  await cp(folderOf(name), folder, { recursive: true })
  return folder
}

async function setConfig (folder: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
  const path = join(folder, 'config.json')
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')) as object, ...changes }))
}

async function tensorsOf (folder: string): Promise<NamedTensor[]> {
  return decodeSafetensors(await readFile(join(folder, 'model.safetensors'))).tensors
}

async function setTensors (folder: string, tensors: readonly NamedTensor[], file = 'model.safetensors'): Promise<void> {
  await writeFile(join(folder, file), encodeSafetensors(tensors, { format: 'pt' }))
}

/** In two files under an index, as larger models are saved. */
async function shard (folder: string): Promise<void> {
  const tensors = await tensorsOf(folder)
  const half = tensors.length >> 1
  const parts = [tensors.slice(0, half), tensors.slice(half)]
  const files = parts.map((_, i) => `model-0000${i + 1}-of-00002.safetensors`)
  for (const [i, part] of parts.entries()) await setTensors(folder, part, files[i])
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: Object.fromEntries(parts.flatMap((part, i) => part.map(({ name }) => [name, files[i]]))) }))
  await rm(join(folder, 'model.safetensors'))
}

function sameWeights (t: ExecutionContext, got: LoadedFoundation, want: LoadedFoundation): void {
  t.deepEqual(got.model, want.model)
  t.deepEqual(got.tensors, want.tensors)
}

test('a folder of shards is the same model as one file', async t => {
  const folder = await copyOf(t, 'vit-tiny')
  await shard(folder)
  sameWeights(t, await importTiny(folder), await importTiny(folderOf('vit-tiny')))
})

test('weights that are not finite are refused by name', async t => {
  const folder = await copyOf(t, 'vit-tiny')
  const tensors = await tensorsOf(folder)
  const broken = tensors.map(({ name, tensor }) => name.endsWith('cls_token') ? { name, tensor: { shape: tensor.shape, data: tensor.data.map((value, i) => i === 3 ? Number.NaN : value) } } : { name, tensor })
  await setTensors(folder, broken)
  await t.throwsAsync(importTiny(folder), { instanceOf: FoundationError, message: /cls_token has numbers that are not finite/ })
})

test('an encoder under a head, with the head and a pooler beside it, is the same model', async t => {
  const folder = await copyOf(t, 'bert-tiny')
  const tensors = await tensorsOf(folder)
  const head = { shape: [2, 32], data: new Float32Array(64) }
  const renamed = tensors.map(({ name, tensor }) => ({ name: `bert.${name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta')}`, tensor }))
  await setTensors(folder, [...renamed, { name: 'classifier.weight', tensor: head }, { name: 'bert.pooler.dense.weight', tensor: head }])
  const imported = await importTiny(folder)
  sameWeights(t, imported, await importTiny(folderOf('bert-tiny')))
  t.deepEqual([...imported.unused].sort(), ['bert.pooler.dense.weight', 'classifier.weight'])
})

for (const [dtype, codec, tolerance] of [['F16', 'f16', 2 ** -10], ['BF16', 'bf16', 2 ** -7]] as const) {
  test(`weights of ${dtype} are widened, and integers beside them are passed over`, async t => {
    const folder = await copyOf(t, 'vit-tiny')
    const want = await importTiny(folder)
    const parts: Uint8Array[] = []
    const header: Record<string, unknown> = {}
    let at = 0
    const put = (name: string, dtype: string, shape: readonly number[], bytes: Uint8Array): void => {
      header[name] = { dtype, shape, data_offsets: [at, at += bytes.length] }
      parts.push(bytes)
    }
    for (const { name, tensor: { shape, data } } of await tensorsOf(folder)) put(name, dtype, shape, encode(codec, data))
    put('embeddings.position_ids', 'I64', [1, 2], new Uint8Array(16))
    const json = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(json.length))
    await writeFile(join(folder, 'model.safetensors'), Buffer.concat([length, json, ...parts]))
    const got = await importTiny(folder)
    t.deepEqual(got.unused, ['embeddings.position_ids'])
    for (const [i, { name, tensor: { data } }] of got.tensors.entries()) {
      const exact = want.tensors[i]?.tensor.data as Float32Array
      t.true(data.every((value, at) => Math.abs(value - (exact[at] as number)) <= tolerance * Math.abs(exact[at] as number)), name)
    }
    t.not(got.model.foundation.sha256, want.model.foundation.sha256)
  })
}

test('a DistilBERT is a BERT without kinds of tokens, under other names', async t => {
  const folder = await copyOf(t, 'bert-tiny')
  const theirs: ReadonlyArray<readonly [RegExp, string]> = [
    [/^encoder\.layer/, 'transformer.layer'], [/attention\.self\.(query|key|value)/, 'attention.$1_lin'], [/attention\.output\.LayerNorm/, 'sa_layer_norm'], [/attention\.output\.dense/, 'attention.out_lin'],
    [/intermediate\.dense/, 'ffn.lin1'], [/(\d)\.output\.dense/, '$1.ffn.lin2'], [/(\d)\.output\.LayerNorm/, '$1.output_layer_norm']
  ]
  const short = (name: string): string => theirs.reduce((text, [from, to]) => text.replace(from, to), name).replace('query_lin', 'q_lin').replace('key_lin', 'k_lin').replace('value_lin', 'v_lin')
  const tensors = (await tensorsOf(folder)).filter(({ name }) => !name.includes('token_type'))
  await setTensors(folder, tensors.map(({ name, tensor }) => ({ name: `distilbert.${short(name)}`, tensor })))
  await writeFile(join(folder, 'config.json'), JSON.stringify({ model_type: 'distilbert', dim: 32, n_layers: 2, n_heads: 4, hidden_dim: 64, activation: 'gelu', vocab_size: 50, max_position_embeddings: 16 }))
  const imported = await importTiny(folder)
  const bert = await importTiny(folderOf('bert-tiny'))
  t.deepEqual(imported.tensors, bert.tensors.filter(({ name }) => name !== 'embed/kind'))
  t.deepEqual(startWeights(foundationCharter(imported, TEXTS, [SIDE]), imported).map(({ name }) => name), ['embed/tokens', 'trunk'])
})

test('a DeiT has a second token in front, and its own row in the table', async t => {
  const folder = await copyOf(t, 'vit-tiny')
  const extra = { shape: [1, 1, 32], data: new Float32Array(32).fill(0.5) }
  const tensors = (await tensorsOf(folder)).map(({ name, tensor }) => name === 'embeddings.position_embeddings' ? { name, tensor: { shape: [1, 6, 32], data: new Float32Array(192).fill(0.25) } } : { name, tensor })
  await setTensors(folder, [...tensors, { name: 'embeddings.distillation_token', tensor: extra }])
  await setConfig(folder, { model_type: 'deit' })
  const imported = await importTiny(folder)
  const charter = foundationCharter(imported, { modality: 'image', shape: [16, 16, 3] }, [SIDE])
  const embedder = createEmbedder(charter.model.embedder, charter.input, 32)
  t.deepEqual([embedder.tokens, embedder.pieceSize], [6, 8 * 8 * 3 + 3])
  const { data } = embedder.unfold(new Float32Array(16 * 16 * 3).fill(2), 1)
  const [first, second, patch] = [0, 1, 2].map(token => data.subarray(token * 195, (token + 1) * 195)) as [Float32Array, Float32Array, Float32Array]
  t.deepEqual([first.indexOf(1), second.indexOf(1)], [193, 194])
  t.deepEqual([...patch.subarray(190)], [2, 2, 1, 0, 0])
  const [embed] = startWeights(charter, imported)
  t.deepEqual(embed?.tensor.data.slice(194 * 32, 195 * 32), extra.data)
})

const UNUSABLE: ReadonlyArray<{ id: string, name?: string, break: (folder: string) => Promise<void>, says: RegExp }> = [
  { id: 'another architecture', break: async folder => { await setConfig(folder, { model_type: 'llama' }) }, says: /type 'llama'/ },
  { id: 'no config.json', break: async folder => { await rm(join(folder, 'config.json')) }, says: /no config\.json/ },
  { id: 'a config that is no JSON', break: async folder => { await writeFile(join(folder, 'config.json'), '{') }, says: /config\.json: .*JSON/ },
  { id: 'an activation without a form', break: async folder => { await setConfig(folder, { hidden_act: 'relu' }) }, says: /activation 'relu'/ },
  { id: 'no biases on query, key and value', break: async folder => { await setConfig(folder, { qkv_bias: false }) }, says: /qkv_bias/ },
  { id: 'relative positions', name: 'bert-tiny', break: async folder => { await setConfig(folder, { position_embedding_type: 'relative_key' }) }, says: /position_embedding_type/ },
  { id: 'heads that do not divide the width', break: async folder => { await setConfig(folder, { num_attention_heads: 5 }) }, says: /5 heads/ },
  { id: 'a size that is none', break: async folder => { await setConfig(folder, { hidden_size: -1 }) }, says: /hidden_size/ },
  { id: 'sizes of another model', break: async folder => { await setConfig(folder, { intermediate_size: 128 }) }, says: /intermediate\.dense\.weight is \[64, 32\].*\[128, 32\]/ },
  { id: 'more layers than there are', break: async folder => { await setConfig(folder, { num_hidden_layers: 3 }) }, says: /no tensor encoder\.layer\.2/ },
  {
    id: 'a missing tensor',
    break: async folder => { await setTensors(folder, (await tensorsOf(folder)).filter(({ name }) => name !== 'layernorm.bias')) },
    says: /no tensor layernorm\.bias/
  },
  { id: 'weights that are cut off', break: async folder => { await truncate(join(folder, 'model.safetensors'), 50_000) }, says: /model\.safetensors: .*bytes of data/ },
  {
    id: 'a shard that is cut off',
    break: async folder => {
      await shard(folder)
      await truncate(join(folder, 'model-00002-of-00002.safetensors'), 20_000)
    },
    says: /model-00002-of-00002\.safetensors: .*bytes of data/
  },
  {
    id: 'a shard that is missing',
    break: async folder => {
      await shard(folder)
      await rm(join(folder, 'model-00001-of-00002.safetensors'))
    },
    says: /model-00001-of-00002\.safetensors: there is no such file/
  },
  { id: 'a shard outside the folder', break: async folder => { await writeFile(join(folder, 'model.safetensors.index.json'), '{"weight_map":{"a":"../b.safetensors"}}') }, says: /names no file of the folder/ },
  {
    id: 'an index that says more than the shards hold',
    break: async folder => {
      await shard(folder)
      const path = join(folder, 'model.safetensors.index.json')
      const index = JSON.parse(await readFile(path, 'utf8')) as { weight_map: Record<string, string> }
      await writeFile(path, JSON.stringify({ weight_map: { ...index.weight_map, more: 'model-00001-of-00002.safetensors' } }))
    },
    says: /no tensor more, which the index/
  },
  { id: 'a header larger than the limit', break: async folder => { await writeFile(join(folder, 'model.safetensors'), Buffer.from([0, 0, 0, 0, 1, 0, 0, 0, 0])) }, says: /a header of 4294967296 bytes/ }
]
for (const { id, name = 'vit-tiny', break: change, says } of UNUSABLE) {
  test(`one line says what is wrong: ${id}`, async t => {
    const folder = await copyOf(t, name)
    await change(folder)
    const error = await t.throwsAsync(importTiny(folder), { instanceOf: FoundationError, message: says }) as FoundationError
    t.false(error.message.includes('\n'))
    t.truthy(error.next)
    t.is(exitStatus(error.code), 12)
  })
}

test('a written file is read back as it was, and names itself by its weights', async t => {
  const path = join(await scratch(t), 'vit.safetensors')
  const imported = await importTiny(folderOf('vit-tiny'))
  const bytes = await writeFoundation(path, imported)
  t.is((await readFile(path)).length, bytes)
  sameWeights(t, await readFoundation(path), imported)
  const changed = await readFile(path)
  changed[bytes - 1] = (changed[bytes - 1] as number) ^ 1
  await writeFile(path, changed)
  await t.throwsAsync(readFoundation(path), { instanceOf: FoundationError, message: /sha-256/ })
  await truncate(path, bytes - 4)
  await t.throwsAsync(readFoundation(path), { instanceOf: FoundationError, message: /bytes of data/ })
  await t.throwsAsync(readFoundation(join(path, 'x')), { instanceOf: FoundationError })
  await writeFile(path, encodeSafetensors(imported.tensors, { format: 'pt' }))
  await t.throwsAsync(readFoundation(path), { instanceOf: FoundationError, message: /no foundation model/ })
})

test('a charter names the model, is read back, and a site with another file or none is told so', async t => {
  const path = join(await scratch(t), 'model.safetensors')
  const [vit, bert] = [await importTiny(folderOf('vit-tiny')), await importTiny(folderOf('bert-tiny'))]
  const charter = foundationCharter(vit, PICTURES, [SIDE], { model: { norm: 'layer', embedder: { patch: 4 }, attention: false } })
  t.deepEqual(charter.model.backbone, { width: 32, layers: 2, heads: 4, hidden: 64, attention: true, foundation: vit.model.foundation })
  t.deepEqual(readCharter(structuredClone(charter)), charter)
  await writeFoundation(path, bert)
  await t.throwsAsync(startFromFile(charter, path), { instanceOf: FoundationError, message: new RegExp(`${vit.model.foundation.sha256.slice(0, 16)}.*${bert.model.foundation.sha256.slice(0, 16)}`) })
  await t.throwsAsync(startFromFile(charter, undefined), { instanceOf: FoundationError, message: /was not given/ })
  await writeFoundation(path, vit)
  const start = await startFromFile(charter, path)
  t.deepEqual(start, startWeights(charter, vit))
  const plain = createCharter({ name: 'small', seed: 7, input: PICTURES, tasks: [SIDE] })
  await t.throwsAsync(startFromFile(plain, path), { instanceOf: FoundationError, message: /no foundation model/ })
  t.deepEqual(await startFromFile(plain, undefined), [])
  t.false('foundation' in plain.model.backbone || 'foundation' in plain.model.embedder)
  const other = { ...vit, model: { ...vit.model, foundation: { ...vit.model.foundation, sha256: '0'.repeat(64) } } }
  t.not(charterHash(foundationCharter(other, PICTURES, [SIDE])), charterHash(foundationCharter(vit, PICTURES, [SIDE])))
})

test('a charter is refused where the model does not fit what it is to read or where it is to be', async t => {
  const [vit, bert] = [await importTiny(folderOf('vit-tiny')), await importTiny(folderOf('bert-tiny'))]
  const fits = (loaded: LoadedFoundation, input: Parameters<typeof foundationCharter>[1]): void => {
    const { model } = foundationCharter(loaded, input, [SIDE])
    createEmbedder(model.embedder, input, model.backbone.width)
  }
  const invalid = (message: RegExp) => ({ instanceOf: InvalidParametersError, message })
  t.notThrows(() => { fits(vit, PICTURES) })
  t.notThrows(() => { fits(bert, TEXTS) })
  t.throws(() => { fits(vit, TEXTS) }, invalid(/reads pictures/))
  t.throws(() => { fits(vit, { modality: 'image', shape: [8, 8, 2] }) }, invalid(/3 channels/))
  t.throws(() => { fits(bert, { ...TEXTS, buckets: 51 }) }, invalid(/knows 50 word pieces/))
  t.throws(() => { fits(bert, { modality: 'tokens', shape: [7, 1], buckets: 50 }) }, invalid(/word pieces/))
  t.throws(() => { fits(bert, { ...TEXTS, shape: [7, 2] }) }, invalid(/word pieces/))
  t.throws(() => { fits(bert, { ...TEXTS, shape: [17, 1] }) }, invalid(/at most 16 tokens/))
  t.throws(() => { foundationCharter(bert, TEXTS, [SIDE], { model: { trunk: 'host' } }) }, invalid(/whole model at the client/))
  t.throws(() => { foundationCharter(vit, PICTURES, [SIDE], { model: { foundation: { ...vit.model.foundation, epsilon: 0 } } }) }, invalid(/epsilon/))
  t.throws(() => { foundationCharter(vit, PICTURES, [SIDE], { model: { foundation: { ...vit.model.foundation, more: 1 } } }) }, invalid(/more is not a setting/))
})

test('pictures are brought to the model\'s side, between the centres of pixels, and grey ones to its channels', t => {
  const picture = Float32Array.of(0, 2, 4, 6)
  const from = { height: 2, width: 2, channels: 1 }
  t.deepEqual([...fitPicture(picture, from, { height: 1, width: 1, channels: 1 })], [3])
  t.deepEqual([...fitPicture(picture, from, { height: 2, width: 2, channels: 2 })], [0, 0, 2, 2, 4, 4, 6, 6])
  t.deepEqual([...fitPicture(picture, from, { height: 2, width: 4, channels: 1 })], [0, 0.5, 1.5, 2, 4, 4.5, 5.5, 6])
  t.is(fitPicture(picture, from, from), picture)
})

test('a preprocessor becomes steps of a manifest, a number per channel only where they differ', t => {
  const half = { do_rescale: true, rescale_factor: 1 / 255, do_normalize: true, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] }
  t.deepEqual(preparation(half), [{ divide: 255 }, { subtract: 0.5 }, { divide: 0.5 }])
  t.deepEqual(preparation({ ...half, image_mean: [0.4, 0.5, 0.6] }), [{ divide: 255 }, { subtract: [0.4, 0.5, 0.6] }, { divide: 0.5 }])
  t.deepEqual(preparation({ ...half, do_normalize: false }), [{ divide: 255 }])
  t.throws(() => preparation({ ...half, image_std: ['a'] }), { instanceOf: FoundationError })
})
