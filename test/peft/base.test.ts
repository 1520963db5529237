import test from 'ava'
import { CODECS, decode, encode } from '../../src/compression/index.ts'
import { baseOf, digitsOf, namesOf, nextBase } from '../../src/peft/base.ts'

test('a base is named by its content: one number changed, another name', t => {
  const weights = Float32Array.of(1, -2, 0.5)
  t.is(baseOf(weights), baseOf(weights.slice()))
  t.not(baseOf(weights), baseOf(Float32Array.of(1, -2, 0.50001)))
  t.regex(baseOf(weights), /^[0-9a-f]{16}$/)
})

test('peers that merged the same adapters agree on the new name, in whatever order those came; others do not', t => {
  const [old, adapters] = ['0123456789abcdef', ['ffffffffffffffff', '0000000000000001', 'abcdef0123456789']]
  const next = nextBase(old, adapters)
  t.is(nextBase(old, [...adapters].reverse()), next)
  t.not(nextBase(old, adapters.slice(1)), next)
  t.not(nextBase(next, adapters), next)
  t.not(nextBase('0123456789abcdee', adapters), next)
})

for (const codec of CODECS) {
  test(`names survive the wire: ${codec}`, t => {
    const names = [baseOf(Float32Array.of(1)), '0123456789abcdef', '0000000000000000', 'ffffffffffffffff']
    const digits = digitsOf(names)
    t.is(digits.length, 64)
    t.deepEqual(namesOf(decode(codec, encode(codec, digits), digits.length)), names)
  })
}
