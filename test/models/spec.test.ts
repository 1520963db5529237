import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { canonicalJson, parseModelSpec, specHash } from '../../src/models/spec.ts'
import { charterHash, createCharter } from '../../src/federation/charter.ts'
import { LEVEL, PICTURES, SIDE } from '../helpers/synthetic.ts'
import { smallCharter } from '../helpers/federation.ts'
import type { CharterOptions } from '../../src/federation/charter.ts'

test('unset settings take defaults that fit the input', t => {
  const { backbone, embedder, adapter, dropout, sharedEmbedder, sharedHeads } = parseModelSpec({}, PICTURES)
  t.deepEqual(backbone, { width: 48, layers: 2, heads: 4, hidden: 96, attention: true })
  t.deepEqual(embedder, { kind: 'patches', patch: 8, stride: 8, padding: 0 })
  t.deepEqual([adapter, dropout, sharedEmbedder, sharedHeads], [0, 0, false, []])
  t.like(parseModelSpec({ embedder: { patch: 3 } }, PICTURES).embedder, { patch: 3, stride: 3 })
  for (const [modality, kind, attention] of [['table', 'row', false], ['series', 'windows', true], ['tokens', 'tokens', true]] as const) {
    const spec = parseModelSpec({}, { modality, shape: [4, 2] })
    t.is(spec.embedder.kind, kind)
    t.is(spec.backbone.attention, attention)
  }
})

const WRONG_MODELS: Array<Record<string, unknown>> = [
  { widht: 32 }, { toString: 1 }, { width: 0 }, { width: 1.5 }, { width: '48' }, { layers: -1 }, { heads: 5 }, { hidden: 1e9 },
  { embedder: { pacth: 4 } }, { embedder: { kind: 'pixels' } }, { embedder: { patch: 2.5 } }, { embedder: { padding: -1 } }, { embedder: { taps: 3 } }, { embedder: { kind: 'tokens', taps: 2 } }, { embedder: { kind: 'tokens', taps: 9 } },
  { embedder: 'patches' }, { dropout: 1 }, { dropout: -0.1 }, { dropout: 'none' }, { adapter: -4 }, { adapter: 2.5 },
  { attention: 'no' }, { sharedEmbedder: 'no' }, { sharedHeads: 'side' }, { sharedHeads: [3] }
]
for (const raw of WRONG_MODELS) {
  test(`a model setting is refused in one line: ${JSON.stringify(raw)}`, t => {
    const error = t.throws(() => parseModelSpec(raw, PICTURES), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /^model\.[^\n]{5,}$/)
  })
}

const base: CharterOptions = { name: 'c', seed: 1, input: PICTURES, tasks: [LEVEL, SIDE] }
const WRONG_CHARTERS = [
  { projection: { rule: 'majority' } }, { projection: { strict: 'yes' } }, { projection: { unit: 'row' } }, { projection: { attention: 'full' } },
  { projection: { rlue: 'gp' } }, { merge: { mode: 'some' } }, { merge: { codec: 'f8' } }, { merge: { rat: 1 } }, { merge: { rate: 'fast' } },
  { merge: { momentum: 2 } }, { clock: { quorom: 2 } }, { clock: { quorum: 0 } }, { clock: { stepDeadlineMs: -1 } }, { clock: { peers: 0.5 } },
  { cutCodec: 'zip' }, { model: { widht: 3 } }, { training: { epochs: 3 } }
]
for (const change of WRONG_CHARTERS) {
  test(`a charter setting is refused in one line: ${JSON.stringify(change)}`, t => {
    const error = t.throws(() => createCharter({ ...base, ...change } as CharterOptions), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /^[a-z][^\n]{8,}$/i)
  })
}

test('a charter of defaults, and one that reads what it wrote', t => {
  const charter = createCharter(base)
  t.like(charter, { projection: { rule: 'gp', strict: 'update', unit: 'client' }, merge: { mode: 'select' }, shared: [] })
  const { model, training, projection, merge, clock } = charter
  const { backbone, ...rest } = model
  const again = createCharter({ ...base, model: { ...backbone, ...rest }, training: { ...training }, projection, merge, clock })
  t.deepEqual(again, charter)
})

test('shared units are named after the input and the tasks', t => {
  t.deepEqual(createCharter({ ...base, model: { sharedEmbedder: true, sharedHeads: ['side'] } }).shared, ['embed/image', 'head/side'])
})

test('the hash of a charter says whether two ends mean the same model', t => {
  const hash = charterHash(smallCharter([LEVEL, SIDE]))
  t.regex(hash, /^[0-9a-f]{16}$/)
  t.is(charterHash(smallCharter([LEVEL, SIDE], { clock: { stepDeadlineMs: 9 }, cutCodec: 'f16', name: 'other' })), hash, 'clocks, codecs and names may differ')
  for (const [id, changes] of Object.entries({
    seed: { seed: 8 },
    width: { model: { width: 16 } },
    training: { training: { weightDecay: 0.01 } },
    projection: { projection: { rule: 'mean' } },
    'merge mode': { merge: { mode: 'all' } },
    'outer rate': { merge: { rate: 0.5 } },
    'outer momentum': { merge: { momentum: 0.9 } },
    'shared units': { model: { sharedEmbedder: true } }
  } as Record<string, Partial<CharterOptions>>)) t.not(charterHash(smallCharter([LEVEL, SIDE], changes)), hash, id)
})

test('canonical JSON does not depend on the order of keys, lists keep theirs', t => {
  t.is(canonicalJson({ b: 1, a: { d: [2, 1], c: null } }), '{"a":{"c":null,"d":[2,1]},"b":1}')
  t.is(specHash({ a: 1, b: 2 }), specHash({ b: 2, a: 1 }))
  t.not(specHash([1, 2]), specHash([2, 1]))
})
