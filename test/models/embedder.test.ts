import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import type { EmbedderSpec } from '../../src/models/spec.ts'
import type { InputSpec } from '../../src/data/dataset.ts'

const from1 = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => i + 1)

/*
 *  1  2  3  4
 *  5  6  7  8      pieces by hand, row by row of the picture, then row by row within the piece
 *  9 10 11 12
 * 13 14 15 16
 */
const FOUR: InputSpec = { modality: 'image', shape: [4, 4, 1] }

const UNFOLDED: Array<{ id: string, spec: EmbedderSpec, input: InputSpec, x: Float32Array, grid: number[], want: number[][] }> = [
  {
    id: 'patches side by side',
    spec: { kind: 'patches', patch: 2, stride: 2, padding: 0 },
    input: FOUR,
    x: from1(16),
    grid: [2, 2],
    want: [[1, 2, 5, 6], [3, 4, 7, 8], [9, 10, 13, 14], [11, 12, 15, 16]]
  },
  {
    id: 'patches that overlap',
    spec: { kind: 'patches', patch: 3, stride: 1, padding: 0 },
    input: FOUR,
    x: from1(16),
    grid: [2, 2],
    want: [[1, 2, 3, 5, 6, 7, 9, 10, 11], [2, 3, 4, 6, 7, 8, 10, 11, 12], [5, 6, 7, 9, 10, 11, 13, 14, 15], [6, 7, 8, 10, 11, 12, 14, 15, 16]]
  },
  {
    id: 'stride 2 and a border of zeros',
    spec: { kind: 'patches', patch: 3, stride: 2, padding: 1 },
    input: FOUR,
    x: from1(16),
    grid: [2, 2],
    want: [[0, 0, 0, 0, 1, 2, 0, 5, 6], [0, 0, 0, 2, 3, 4, 6, 7, 8], [0, 5, 6, 0, 9, 10, 0, 13, 14], [6, 7, 8, 10, 11, 12, 14, 15, 16]]
  },
  {
    id: 'a picture wider than high, with two channels',
    spec: { kind: 'patches', patch: 2, stride: 2, padding: 0 },
    input: { modality: 'image', shape: [2, 4, 2] },
    x: from1(16),
    grid: [1, 2],
    want: [[1, 2, 3, 4, 9, 10, 11, 12], [5, 6, 7, 8, 13, 14, 15, 16]]
  },
  {
    id: 'windows of a series with two channels, with padding',
    spec: { kind: 'windows', patch: 2, stride: 2, padding: 1 },
    input: { modality: 'series', shape: [4, 2] },
    x: from1(8),
    grid: [3],
    want: [[0, 0, 1, 2], [3, 4, 5, 6], [7, 8, 0, 0]]
  },
  {
    id: 'tokens that see the one before and the one after, in tables of their own',
    spec: { kind: 'tokens', patch: 8, stride: 8, padding: 0, taps: 3 },
    input: { modality: 'tokens', shape: [3, 1], buckets: 3 },
    x: Float32Array.of(0, 2, -1),
    grid: [3],
    want: [[0, 0, 0, 1, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0, 0]]
  },
  {
    id: 'a table row as one token',
    spec: { kind: 'row', patch: 8, stride: 8, padding: 0 },
    input: { modality: 'table', shape: [3] },
    x: from1(3),
    grid: [1],
    want: [[1, 2, 3]]
  },
  {
    id: 'a token per column',
    spec: { kind: 'columns', patch: 8, stride: 8, padding: 0 },
    input: { modality: 'table', shape: [3] },
    x: from1(3),
    grid: [3],
    want: [[1, 0, 0], [0, 2, 0], [0, 0, 3]]
  },
  {
    id: 'hashed words: the mean of a token\'s slots, padding left out',
    spec: { kind: 'tokens', patch: 8, stride: 8, padding: 0 },
    input: { modality: 'tokens', shape: [3, 2], buckets: 4 },
    x: Float32Array.of(0, 2, 3, -1, -1, -1),
    grid: [3],
    want: [[0.5, 0, 0.5, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
  }
]

for (const { id, spec, input, x, grid, want } of UNFOLDED) {
  test(`unfolds ${id}`, t => {
    const embedder = createEmbedder(spec, input, 8)
    t.deepEqual(embedder.grid, grid)
    t.is(embedder.tokens, want.length)
    t.is(embedder.pieceSize, want[0]?.length ?? 0)
    const { shape, data } = embedder.unfold(x, 1)
    t.deepEqual(shape, [1, want.length, want[0]?.length])
    t.deepEqual([...data], want.flat())
    const two = embedder.unfold(Float32Array.of(...x, ...x), 2)
    t.deepEqual([...two.data], [...want.flat(), ...want.flat()], 'rows do not run into each other')
  })
}

for (const { id, spec, input } of [
  { id: 'patches larger than the picture', spec: { kind: 'patches', patch: 5, stride: 5, padding: 0 }, input: FOUR },
  { id: 'no stride', spec: { kind: 'patches', patch: 2, stride: 0, padding: 0 }, input: FOUR },
  { id: 'patches of a table', spec: { kind: 'patches', patch: 2, stride: 2, padding: 0 }, input: { modality: 'table', shape: [16] } },
  { id: 'windows of a picture', spec: { kind: 'windows', patch: 2, stride: 2, padding: 0 }, input: FOUR },
  { id: 'words without buckets', spec: { kind: 'tokens', patch: 2, stride: 2, padding: 0 }, input: { modality: 'tokens', shape: [3, 2] } }
] as Array<{ id: string, spec: EmbedderSpec, input: InputSpec }>) {
  test(`refuses ${id} in one line`, t => {
    const error = t.throws(() => createEmbedder(spec, input, 8), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /^[^\n]{20,}$/)
  })
}
