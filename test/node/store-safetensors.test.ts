import test from 'ava'
import fc from 'fast-check'
import { decodeSafetensors, encodeSafetensors } from '../../node/store/safetensors.ts'
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

function file (header: string | Uint8Array, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header
  const whole = new Uint8Array(8 + json.length + data.length)
  new DataView(whole.buffer).setBigUint64(0, BigInt(json.length), true)
  whole.set(json, 8)
  whole.set(data, 8 + json.length)
  return whole
}

const named = (name: string, shape: number[], values: number[]): NamedTensor => ({ name, tensor: { shape, data: Float32Array.from(values) } })

/** Worked by hand from the format's description. */
const GOLDEN = '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]}}'

test('bytes are those of the format, sorted and aligned', t => {
  const bytes = encodeSafetensors([named('b', [2, 1], [1, -2]), named('a', [], [0.5])], { format: 'pt' })
  const header = GOLDEN.padEnd(Math.ceil(GOLDEN.length / 8) * 8)
  t.deepEqual(bytes, file(header, Uint8Array.of(0, 0, 0, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0)))
  t.deepEqual(decodeSafetensors(bytes), { tensors: [named('a', [], [0.5]), named('b', [2, 1], [1, -2])], metadata: { format: 'pt' } })
})

test('half precisions, white space and data in another order are read', t => {
  const header = '{ "x" : {"shape": [2], "data_offsets": [4, 8], "dtype": "F16"},\n\t"\\u0079": {"dtype":"BF16","shape":[2],"data_offsets":[0,4]},\r "e":{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]} }  '
  const data = Uint8Array.of(0x80, 0x3f, 0, 0xc0, 0, 0x3c, 0, 0xc0)
  t.deepEqual(decodeSafetensors(file(header, data)), {
    tensors: [named('y', [2], [1, -2]), named('e', [3, 0], []), named('x', [2], [1, -2])],
    metadata: {}
  })
})

test('decoded tensors own their numbers', t => {
  const bytes = encodeSafetensors([named('a', [1], [1])], {})
  const { tensors } = decodeSafetensors(bytes)
  bytes.fill(0)
  t.is(tensors[0]?.tensor.data[0], 1)
})

const entry = (fields: Record<string, unknown> = {}): string => JSON.stringify({ dtype: 'F32', shape: [1], data_offsets: [0, 4], ...fields })
const four = new Uint8Array(4)

const hostile: Array<{ id: string, bytes: Uint8Array }> = [
  { id: 'no header length', bytes: new Uint8Array(7) },
  { id: 'a header longer than the file', bytes: Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d) },
  { id: 'a header above the cap', bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0xff, 0x7b, 0x7d) },
  { id: 'an empty header', bytes: file('') },
  { id: 'white space before the header', bytes: file(' {}') },
  { id: 'a byte order mark', bytes: file('\ufeff{}') },
  { id: 'a header that is not UTF-8', bytes: file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)) },
  { id: 'a lone surrogate', bytes: file(`{"\\ud800":${entry()}}`, four) },
  { id: 'something after the header', bytes: file('{}{}') },
  { id: 'a header without end', bytes: file('{"a') },
  { id: 'a text that ends in a backslash', bytes: file('{"a\\') },
  { id: 'a tensor twice', bytes: file(`{"a":${entry()},"a":${entry()}}`, four) },
  { id: 'a tensor twice, once escaped', bytes: file(`{"a":${entry()},"\\u0061":${entry()}}`, four) },
  { id: 'dtype twice', bytes: file('{"a":{"dtype":"F16","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', four) },
  { id: 'metadata twice', bytes: file('{"__metadata__":{},"__metadata__":{}}') },
  { id: 'a number in metadata', bytes: file('{"__metadata__":{"a":1}}') },
  { id: 'a tensor called __proto__', bytes: file(`{"__proto__":${entry()}}`, four) },
  { id: '__proto__ in metadata', bytes: file('{"__metadata__":{"__proto__":"x"}}') },
  { id: '__proto__ in a tensor', bytes: file('{"a":{"__proto__":[1]}}') },
  { id: 'an unknown key', bytes: file(`{"a":${entry({ strides: [1] })}}`, four) },
  { id: 'a missing shape', bytes: file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', four) },
  { id: 'one offset', bytes: file(`{"a":${entry({ data_offsets: [4] })}}`, four) },
  { id: 'three offsets', bytes: file(`{"a":${entry({ data_offsets: [0, 4, 4] })}}`, four) },
  { id: 'a dtype that is not read', bytes: file(`{"a":${entry({ dtype: 'I32' })}}`, four) },
  { id: 'a dtype from the prototype', bytes: file(`{"a":${entry({ dtype: 'toString' })}}`, four) },
  { id: 'a negative number', bytes: file(`{"a":${entry({ shape: [-1] })}}`, four) },
  { id: 'a fraction', bytes: file(`{"a":${entry({ shape: [1.5] })}}`, four) },
  { id: 'an exponent', bytes: file('{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', four) },
  { id: 'a leading zero', bytes: file('{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', four) },
  { id: 'a number above 2^53', bytes: file('{"a":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,4]}}', four) },
  { id: 'a product above 2^53', bytes: file(`{"a":${entry({ shape: [2 ** 52, 2 ** 52, 2 ** 52] })}}`, four) },
  { id: 'nine axes', bytes: file(`{"a":${entry({ shape: [1, 1, 1, 1, 1, 1, 1, 1, 1] })}}`, four) },
  { id: 'offsets beyond the file', bytes: file(`{"a":${entry({ shape: [2], data_offsets: [0, 8] })}}`, four) },
  { id: 'offsets that run backwards', bytes: file(`{"a":${entry({ shape: [0], data_offsets: [4, 0] })}}`, four) },
  { id: 'offsets that do not fit the shape', bytes: file(`{"a":${entry({ shape: [2] })}}`, four) },
  { id: 'offsets that do not fit the dtype', bytes: file(`{"a":${entry({ dtype: 'F16' })}}`, four) },
  { id: 'a gap', bytes: file(`{"a":${entry()},"b":${entry({ data_offsets: [8, 12] })}}`, new Uint8Array(12)) },
  { id: 'a gap at the start', bytes: file(`{"a":${entry({ data_offsets: [4, 8] })}}`, new Uint8Array(8)) },
  { id: 'an overlap', bytes: file(`{"a":${entry()},"b":${entry()}}`, four) },
  { id: 'bytes after the data', bytes: file(`{"a":${entry()}}`, new Uint8Array(5)) },
  { id: 'a missing byte', bytes: file(`{"a":${entry()}}`, new Uint8Array(3)) },
  { id: 'deep nesting', bytes: file('{"a":'.repeat(100_000)) }
]
for (const { id, bytes } of hostile) {
  test(`a file with ${id} is refused`, t => {
    t.throws(() => decodeSafetensors(bytes), { instanceOf: DecodeError })
  })
}

test('more than 100,000 tensors are refused', t => {
  const entries = Array.from({ length: 100_001 }, (_, i) => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`)
  t.is(decodeSafetensors(file(`{${entries.slice(0, 100_000).join(',')}}`)).tensors.length, 100_000)
  t.throws(() => decodeSafetensors(file(`{${entries.join(',')}}`)), { instanceOf: DecodeError, message: /more than 100000 tensors/ })
})

const unwritable: Array<{ id: string, tensors: NamedTensor[], metadata?: Record<string, string> }> = [
  { id: 'two tensors of one name', tensors: [named('a', [1], [1]), named('a', [1], [2])] },
  { id: 'a tensor called __metadata__', tensors: [named('__metadata__', [1], [1])] },
  { id: 'a tensor called __proto__', tensors: [named('__proto__', [1], [1])] },
  { id: 'a name that is not Unicode', tensors: [named('\ud800', [1], [1])] },
  { id: 'nine axes', tensors: [named('a', [1, 1, 1, 1, 1, 1, 1, 1, 1], [1])] },
  { id: 'data that does not fill the shape', tensors: [named('a', [2], [1])] },
  { id: 'metadata that is not Unicode', tensors: [], metadata: { a: '\udfff' } }
]
for (const { id, tensors, metadata } of unwritable) {
  test(`${id} is not written`, t => {
    t.throws(() => encodeSafetensors(tensors, metadata ?? {}), { instanceOf: InvalidParametersError })
  })
}

const name = fc.string({ unit: 'binary' }).filter(text => text !== '__proto__' && text !== '__metadata__')
const tensors = fc.uniqueArray(fc.record({ name, shape: fc.array(fc.nat(4), { maxLength: 4 }), fill: fc.float() }), { selector: ({ name }) => name, maxLength: 6 })
  .map(rows => rows.map(({ name, shape, fill }) => named(name, shape, new Array(shape.reduce((n, dim) => n * dim, 1)).fill(fill))))
const metadata = fc.dictionary(name, fc.string({ unit: 'binary' }), { maxKeys: 4, noNullPrototype: true })

test('decode gives back what was encoded, whatever its order', t => {
  fc.assert(fc.property(tensors, metadata, (tensors, metadata) => {
    const bytes = encodeSafetensors(tensors, metadata)
    const found = decodeSafetensors(bytes)
    t.deepEqual(found.metadata, metadata)
    t.deepEqual(found.tensors, [...tensors].sort((a, b) => a.name < b.name ? -1 : 1))
    t.deepEqual(encodeSafetensors([...tensors].reverse(), metadata), bytes)
  }), { numRuns: 300 })
})

/** Cut, flip, splice, insert, and the header's length off by a little or a lot. */
const mutations = fc.array(fc.record({
  how: fc.constantFrom('cut', 'flip', 'splice', 'digit', 'length'),
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  value: fc.integer({ min: 0, max: 255 })
}), { minLength: 1, maxLength: 3 })

test('whatever the bytes, decoding succeeds or throws a DecodeError', t => {
  let refused = 0
  fc.assert(fc.property(fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.json().map(text => file(text)),
    fc.tuple(tensors, metadata, mutations).map(([tensors, metadata, mutations]) => mutations.reduce(mutate, encodeSafetensors(tensors, metadata)))
  ), bytes => {
    try {
      decodeSafetensors(bytes)
    } catch (err) {
      if (!(err instanceof DecodeError)) throw err
      refused++
    }
  }), { numRuns: 2000 })
  t.true(refused > 1000, `only ${refused} of 2000 were damaged`)
})

function mutate (bytes: Uint8Array, { how, at, value }: { how: string, at: number, value: number }): Uint8Array {
  const i = Math.floor(at * bytes.length)
  const copy = bytes.slice()
  switch (how) {
    case 'cut': return copy.slice(0, i)
    case 'flip': copy[i] = (copy[i] ?? 0) ^ (1 << value % 8); return copy
    case 'digit': copy[i] = 0x30 + value % 10; return copy
    case 'length': copy[value % 8] = value; return copy
    default: return Uint8Array.of(...copy.slice(0, i), ...copy.slice(i, i + value), ...copy.slice(i))
  }
}
