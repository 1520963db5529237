import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { CODECS, packedBytes, packUnits, unpackUnits } from '../../src/compression/index.ts'
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'

const UNITS = { trunk: Float32Array.of(1, -2, 0.5), 'head/a': Float32Array.of(4), 'embed/ü': new Float32Array(0) }
const SIZES = { trunk: 3, 'head/a': 1, 'embed/ü': 0 }

for (const codec of CODECS) {
  test(`${codec}: units come back by name, and the size is known beforehand`, (t) => {
    const bytes = packUnits(UNITS, codec)
    t.is(bytes.length, packedBytes(SIZES, codec))
    const back = unpackUnits(bytes, SIZES)
    t.deepEqual(Object.keys(back).sort(), Object.keys(SIZES).sort())
    for (const [name, data] of Object.entries(UNITS)) {
      data.forEach((x, i) => t.true(Math.abs((back[name]?.[i] as number) - x) <= 0.01))
    }
  })
}

test('a unit of zeros costs its name alone, and comes back as zeros', (t) => {
  const bytes = packUnits({ trunk: new Float32Array(1000), 'peft/a': Float32Array.of(1, 2) }, 'f32')
  t.is(bytes.length, packedBytes({ trunk: 0, 'peft/a': 2 }, 'f32'))
  t.deepEqual({ ...unpackUnits(bytes, { trunk: 1000, 'peft/a': 2 }, 'f32') }, { trunk: new Float32Array(1000), 'peft/a': Float32Array.of(1, 2) })
})

testProp('equal units give equal bytes in whatever order they were put in', [
  fc.dictionary(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }), fc.float32Array({ maxLength: 20, noNaN: true, noDefaultInfinity: true }), { maxKeys: 6 }),
  fc.constantFrom(...CODECS)
], (t, units, codec) => {
  const bytes = packUnits(units, codec)
  t.deepEqual(packUnits(Object.fromEntries(Object.entries(units).reverse()), codec), bytes)
  const sizes = Object.fromEntries(Object.entries(units).map(([name, data]) => [name, data.length]))
  const shifted = new Uint8Array(bytes.length + 1)
  shifted.set(bytes, 1)
  t.deepEqual({ ...unpackUnits(shifted.subarray(1), sizes, codec) }, { ...unpackUnits(bytes, sizes) })
  if (codec === 'f32') t.deepEqual({ ...unpackUnits(bytes, sizes) }, { ...units })
})

const packed = packUnits(UNITS, 'f32')
const REFUSED: Array<{ id: string, bytes?: Uint8Array, expected?: Record<string, number>, codec?: 'f16' }> = [
  { id: 'an unknown unit', expected: { trunk: 3, 'head/a': 1, 'embed/x': 0 } },
  { id: 'a missing unit', expected: { ...SIZES, more: 1 } },
  { id: 'a unit too many', expected: { trunk: 3, 'head/a': 1 } },
  { id: 'a unit of another size', expected: { ...SIZES, trunk: 4 } },
  { id: 'sizes that only sum up', expected: { ...SIZES, trunk: 1, 'head/a': 3 } },
  { id: 'another codec than announced', codec: 'f16' },
  { id: 'more elements than any model', expected: { ...SIZES, trunk: 2 ** 40 } },
  { id: 'no bytes', bytes: new Uint8Array(0) },
  { id: 'a truncated payload', bytes: packed.subarray(0, packed.length - 1) },
  { id: 'bytes after the end', bytes: Uint8Array.of(...packed, 0, 0, 0, 0) },
  { id: 'another magic', bytes: packed.map((b, i) => i === 0 ? b ^ 1 : b) },
  { id: 'an unknown codec', bytes: packed.map((b, i) => i === 4 ? 9 : b) },
  { id: 'a reserved byte that is set', bytes: packed.map((b, i) => i === 5 ? 1 : b) },
  { id: 'a name that was changed', bytes: packed.map((b, i) => i === 17 ? b ^ 1 : b) },
  // packed: header 8, then 'embed/ü' with 8 + 7 bytes of name ('ü' is two) and no padding, then 'head/a' at 24
  { id: 'padding that is not zero', bytes: packed.map((b, i) => i === 38 ? 1 : b) }
]
for (const { id, bytes, expected, codec } of REFUSED) {
  test(`unpacking refuses ${id}`, (t) => {
    t.throws(() => unpackUnits(bytes ?? packed, expected ?? SIZES, codec), { instanceOf: DecodeError, code: 'ERR_DECODE' })
  })
}

testProp('the reader throws only DecodeError on any bytes, and on any change of good ones', [
  fc.uint8Array({ maxLength: 120 }), fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 255 }), fc.constantFrom(...CODECS)
], (t, noise, position, value, codec) => {
  const good = packUnits(UNITS, codec)
  const changed = good.map((b, i) => i === position % good.length ? value : b)
  for (const input of [noise, changed, Uint8Array.of(...good.subarray(0, 8), ...noise)]) {
    try {
      t.deepEqual(Object.keys(unpackUnits(input, SIZES)).sort(), Object.keys(SIZES).sort())
    } catch (err) {
      t.true(err instanceof DecodeError)
    }
  }
}, { numRuns: 10_000 })

for (const name of ['', 'x'.repeat(513), '\ud800']) {
  test(`a unit cannot be called ${JSON.stringify(name.slice(0, 4))} (${name.length} characters)`, (t) => {
    t.throws(() => packUnits({ [name]: new Float32Array(1) }, 'f32'), { instanceOf: InvalidParametersError })
  })
}
