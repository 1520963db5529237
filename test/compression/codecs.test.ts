import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { fromHalfBits, toHalfBits } from '../../src/compression/codecs.ts'
import { CODECS, decode, encode, encodedBytes, INT8_BLOCK } from '../../src/compression/index.ts'
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'

const finite = fc.float32Array({ minLength: 1, maxLength: 700, noNaN: true, noDefaultInfinity: true })

testProp('f32 carries every bit', [fc.float32Array({ maxLength: 300 })], (t, data) => {
  const back = decode('f32', encode('f32', data), data.length)
  t.deepEqual(new Uint8Array(back.buffer, back.byteOffset, back.byteLength), new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
})

testProp('f16 is within half a unit of its last place; larger values stay finite', [finite], (t, data) => {
  const back = decode('f16', encode('f16', data), data.length)
  data.forEach((x, i) => {
    const want = Math.max(-65504, Math.min(65504, x))
    t.true(Math.abs((back[i] as number) - want) <= Math.max(Math.abs(want) * 2 ** -11, 2 ** -25), `${x} became ${back[i]}`)
  })
})

testProp('bf16 is within half a unit of its last place and finite', [finite], (t, data) => {
  const back = decode('bf16', encode('bf16', data), data.length)
  data.forEach((x, i) => {
    t.true(Number.isFinite(back[i]))
    t.true(Math.abs((back[i] as number) - x) <= Math.max(Math.abs(x) * 2 ** -8, 2 ** -134), `${x} became ${back[i]}`)
  })
})

testProp('int8 is within half a step of its block', [finite], (t, data) => {
  const back = decode('int8', encode('int8', data), data.length)
  for (let from = 0; from < data.length; from += INT8_BLOCK) {
    const block = data.subarray(from, from + INT8_BLOCK)
    const largest = block.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
    // the scale is stored as f32; below 127 of its smallest steps it cannot follow any more
    const step = Math.max(largest / 127, 2 ** -149) * (1 + 2 ** -23) + 2 ** -149
    block.forEach((x, i) => t.true(Math.abs((back[from + i] as number) - x) <= step * (0.5 + 127 * 2 ** -23), `${x} became ${back[from + i]}`))
  }
})

test('a bell-shaped gradient survives int8 with a relative error below 1 %', (t) => {
  const data = Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i) * Math.cos(3 * i))
  const back = decode('int8', encode('int8', data), data.length)
  const error = Math.sqrt(data.reduce((sum, x, i) => sum + (x - (back[i] as number)) ** 2, 0) / data.reduce((sum, x) => sum + x * x, 0))
  t.true(error < 0.01)
})

test('every binary16 pattern round-trips, and both paths agree bit for bit', (t) => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i)
  const values = decode('f16', new Uint8Array(bits.buffer), bits.length)
  t.true(fromHalfBits(bits).every((x, i) => Object.is(x, values[i])))
  const again = new Uint16Array(encode('f16', values).slice().buffer)
  t.deepEqual(toHalfBits(values), again)
  bits.forEach((pattern, i) => {
    if (Number.isNaN(values[i])) t.is(again[i], 0x7e00)
    else if (again[i] !== pattern) t.fail(`pattern ${pattern} became ${again[i]}`)
  })
})

testProp('the two binary16 encoders agree on any float', [fc.float32Array({ minLength: 1, maxLength: 200 }), fc.array(fc.integer({ min: 0x33000000, max: 0x47800000 }), { maxLength: 200 })], (t, any, patterns) => {
  // the patterns cover 2^-25 to 65536, where rounding happens, ties included
  const near = new Float32Array(Uint32Array.from(patterns, (p, i) => i % 2 === 0 ? p & 0xfffff000 : p).buffer)
  for (const data of [any, near]) t.deepEqual(new Uint16Array(encode('f16', data).slice().buffer), toHalfBits(data))
}, { numRuns: 500 })

const VALUES: Array<{ id: string, codec: 'f16' | 'bf16', value: number, want: number }> = [
  { id: 'a tie goes to the even neighbour', codec: 'f16', value: 1 + 2 ** -11, want: 1 },
  { id: 'the next tie too', codec: 'f16', value: 1 + 3 * 2 ** -11, want: 1 + 2 ** -9 },
  { id: 'the smallest subnormal', codec: 'f16', value: 2 ** -24, want: 2 ** -24 },
  { id: 'half of it is a tie to zero', codec: 'f16', value: 2 ** -25, want: 0 },
  { id: 'a finite overflow saturates', codec: 'f16', value: -1e6, want: -65504 },
  { id: '65520 would round to infinity', codec: 'f16', value: 65520, want: 65504 },
  { id: 'infinity stays', codec: 'f16', value: Infinity, want: Infinity },
  { id: 'a tie goes to the even neighbour', codec: 'bf16', value: 1 + 2 ** -8, want: 1 },
  { id: 'the next tie too', codec: 'bf16', value: 1 + 3 * 2 ** -8, want: 1 + 2 ** -6 },
  { id: 'the largest float saturates', codec: 'bf16', value: 3.4028234663852886e38, want: 3.3895313892515355e38 },
  { id: 'infinity stays', codec: 'bf16', value: -Infinity, want: -Infinity },
  { id: 'NaN stays', codec: 'bf16', value: NaN, want: NaN }
]
for (const { id, codec, value, want } of VALUES) {
  test(`${codec}: ${id} (${value})`, (t) => {
    t.is(decode(codec, encode(codec, Float32Array.of(value)), 1)[0], want)
  })
}

/** round(x / scale), ties away from zero, as the header of codecs.ts has it. */
function asDocumented (data: Float32Array): { scales: number[], codes: number[] } {
  const blocks = Array.from({ length: Math.ceil(data.length / INT8_BLOCK) }, (_, b) => data.subarray(b * INT8_BLOCK, (b + 1) * INT8_BLOCK))
  const scales = blocks.map(block => {
    const largest = block.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
    return largest === 0 ? 1 : Math.max(2 ** -149, Math.fround(largest / 127))
  })
  const codes = blocks.flatMap((block, b) => Array.from(block, x => {
    const size = Math.min(127, Math.floor(Math.abs(x) / (scales[b] as number) + 0.5))
    return x < 0 ? 0 - size : size
  }))
  return { scales, codes }
}

const bounded = fc.float32Array({ maxLength: 700, noNaN: true, min: -(2 ** 100), max: 2 ** 100 })
/** Every number a half of some scale: ties, in blocks that are full and not. */
const ties = fc.tuple(fc.array(fc.integer({ min: -254, max: 254 }), { minLength: 1, maxLength: 600 }), fc.integer({ min: 1, max: 2 ** 24 - 1 }), fc.integer({ min: -150, max: 60 }))
  .map(([halves, digits, exponent]) => Float32Array.from([254, ...halves], half => half / 2 * Math.fround(digits * 2 ** exponent)))
const tiny = fc.array(fc.integer({ min: -40_000, max: 40_000 }), { minLength: 1, maxLength: 300 }).map(steps => Float32Array.from(steps, step => step * 2 ** -149))

testProp('int8 gives the documented number for every element, ties and the smallest floats included', [fc.oneof(bounded, ties, tiny)], (t, data) => {
  const bytes = encode('int8', data)
  const { scales, codes } = asDocumented(data)
  t.deepEqual([...new Float32Array(bytes.slice(0, 4 * scales.length).buffer)], scales)
  t.deepEqual([...new Int8Array(bytes.buffer, 4 * scales.length)], codes)
  const back = decode('int8', bytes, data.length)
  t.deepEqual(back, Float32Array.from(codes, (code, i) => (scales[Math.floor(i / INT8_BLOCK)] as number) * code))
}, { numRuns: 500 })

test('one NaN travels, whatever its sign and payload', (t) => {
  const odd = new Float32Array(Uint32Array.of(0xffc00001, 0x7f800001, 0xffffffff).buffer)
  t.deepEqual([...new Uint16Array(encode('bf16', odd).buffer)], [0x7fc0, 0x7fc0, 0x7fc0])
  t.deepEqual([...new Uint16Array(encode('f16', odd).buffer)], [0x7e00, 0x7e00, 0x7e00])
})

test('int8 names the element that is not finite, in whichever block it is', (t) => {
  const data = new Float32Array(600)
  data[511] = -Infinity
  t.throws(() => encode('int8', data), { instanceOf: InvalidParametersError, message: /^element 511 / })
})

test('int8 bytes are laid out as documented', (t) => {
  const bytes = encode('int8', Float32Array.of(127, -63.5, 0.4, 0))
  t.deepEqual([...bytes], [0, 0, 128, 63, 127, 256 - 64, 0, 0])
  t.deepEqual([...encode('int8', new Float32Array(2))], [0, 0, 128, 63, 0, 0])
})

test('int8 carries the largest float as a finite number', (t) => {
  const largest = 3.4028234663852886e38
  const [back] = decode('int8', encode('int8', Float32Array.of(largest)), 1)
  t.true(Math.abs((back as number) - largest) < largest * 2 ** -22)
})

for (const value of [NaN, Infinity, -Infinity]) {
  test(`int8 refuses ${value}`, (t) => {
    t.throws(() => encode('int8', Float32Array.of(1, value)), { instanceOf: InvalidParametersError })
  })
}

test('f32 decodes to a view of aligned bytes and to a copy of others', (t) => {
  const bytes = new Uint8Array(16)
  const view = decode('f32', bytes.subarray(4, 12), 2)
  t.is(view.buffer, bytes.buffer)
  const copy = decode('f32', bytes.subarray(3, 11), 2)
  t.not(copy.buffer, bytes.buffer)
})

const scale = (value: number): Uint8Array => {
  const bytes = new Uint8Array(5)
  new DataView(bytes.buffer).setFloat32(0, value, true)
  return bytes
}
const REFUSED: Array<{ id: string, codec: typeof CODECS[number], bytes: Uint8Array, elements: number, max?: number }> = [
  { id: 'a byte too few', codec: 'f32', bytes: new Uint8Array(7), elements: 2 },
  { id: 'a byte too many', codec: 'f16', bytes: new Uint8Array(5), elements: 2 },
  { id: 'a huge promise', codec: 'f32', bytes: new Uint8Array(8), elements: 2 ** 40 },
  { id: 'more elements than the caller allows', codec: 'f32', bytes: new Uint8Array(8), elements: 2, max: 1 },
  { id: 'a negative number of elements', codec: 'f32', bytes: new Uint8Array(0), elements: -1 },
  { id: 'a broken number of elements', codec: 'f32', bytes: new Uint8Array(2), elements: 0.5 },
  { id: 'an unknown codec', codec: 'f64' as 'f32', bytes: new Uint8Array(8), elements: 1 },
  { id: 'a scale of zero', codec: 'int8', bytes: scale(0), elements: 1 },
  { id: 'a negative scale', codec: 'int8', bytes: scale(-1), elements: 1 },
  { id: 'a scale of NaN', codec: 'int8', bytes: scale(NaN), elements: 1 },
  { id: 'an infinite scale', codec: 'int8', bytes: scale(Infinity), elements: 1 },
  { id: 'a scale whose largest value overflows', codec: 'int8', bytes: scale(Math.fround(3.4028234663852886e38 / 127)), elements: 1 },
  { id: 'the code -128', codec: 'int8', bytes: Uint8Array.of(0, 0, 128, 63, 128), elements: 1 }
]
for (const { id, codec, bytes, elements, max } of REFUSED) {
  test(`decode refuses ${id}`, (t) => {
    t.throws(() => decode(codec, bytes, elements, max), { instanceOf: DecodeError, code: 'ERR_DECODE' })
  })
}

testProp('decoders throw only DecodeError on any bytes', [
  fc.constantFrom(...CODECS), fc.uint8Array({ maxLength: 80 }), fc.oneof(fc.integer({ min: -2, max: 40 }), fc.double())
], (t, codec, bytes, elements) => {
  // half of the time the length fits, so that the content is read
  const fitting = Number.isInteger(elements) && elements >= 0 && elements < 40 ? bytes.subarray(0, encodedBytes(codec, elements)) : bytes
  for (const input of [bytes, fitting]) {
    try {
      t.true(decode(codec, input, elements).length === elements)
    } catch (err) {
      t.true(err instanceof DecodeError)
    }
  }
}, { numRuns: 10_000 })

test('sizes are those of the table, and a codec that is none is refused', (t) => {
  t.deepEqual(CODECS.map((codec) => encodedBytes(codec, 257)), [1028, 514, 514, 265])
  t.throws(() => encodedBytes('int4' as 'int8', 1), { instanceOf: InvalidParametersError })
  t.throws(() => encodedBytes('f32', -1), { instanceOf: InvalidParametersError })
})

test('bytes at an odd place of a larger Buffer decode to exactly their numbers', t => {
  const data = Float32Array.of(1.5, -2, 3)
  for (const codec of CODECS) {
    const bytes = encode(codec, data)
    const pool = Buffer.alloc(100)
    pool.set(bytes, 7)
    t.deepEqual(decode(codec, pool.subarray(7, 7 + bytes.length), 3), decode(codec, bytes, 3))
  }
})
