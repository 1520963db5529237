import { fc, testProp } from '@fast-check/ava'
import test from 'ava'
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'
import { decodeCanonical, encodeCanonical, isShowable } from '../../src/membership/encoding.ts'
import { MAX_ENTRY_BYTES, MAX_KNOCK_BYTES, decodeKnock, decodeLink, encodeKnock, encodeLink, readEntry, writeEntry, writeKnock } from '../../src/membership/index.ts'
import { Random } from '../../src/random.ts'
import { DAY, NOW, found, invite, signer } from './helpers.ts'
import { governance, live, steps } from './history.ts'
import type { Entry, InviteLink } from '../../src/membership/index.ts'

const [ann, bea] = ['ann', 'bea'].map(signer) as [ReturnType<typeof signer>, ReturnType<typeof signer>]
const log = await found(ann)
const id = await invite(log, ann)
const knock = await writeKnock(bea, { net: log.id, charter: log.state.charterHash, invite: id, name: 'Städtische Klinik 2' })
const link: InviteLink = {
  name: 'Heart consortium',
  net: log.id,
  charter: log.state.charterHash,
  invite: id,
  by: ann.peer,
  role: 'member',
  from: NOW,
  until: NOW + DAY,
  addresses: [`/ip4/127.0.0.1/tcp/4001/p2p/${ann.peer}`],
  networkKey: new Uint8Array(32).fill(7),
  door: new Uint8Array(32).fill(9)
}
const [genesis, invitation] = log.entries() as [Entry, Entry]
const asBytes = (text: string): Uint8Array => Buffer.from(text.slice(text.lastIndexOf('/') + 1), 'base64url')
const asLink = (bytes: Uint8Array): string => `fmtl://heart/${Buffer.from(bytes).toString('base64url')}`

const decoders: ReadonlyArray<{ id: string, sample: Uint8Array, read: (bytes: Uint8Array) => unknown, mutants: number }> = [
  { id: 'founding', sample: genesis.bytes, read: readEntry, mutants: 1000 },
  { id: 'entry', sample: invitation.bytes, read: readEntry, mutants: 3000 },
  { id: 'knock', sample: encodeKnock(knock), read: decodeKnock, mutants: 3000 },
  { id: 'link', sample: asBytes(encodeLink(link)), read: bytes => decodeLink(asLink(bytes)), mutants: 3000 }
]

function tame (read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): unknown {
  try {
    return read(bytes)
  } catch (cause) {
    if (cause instanceof DecodeError || cause instanceof InvalidParametersError) return undefined
    throw cause
  }
}

for (const { id, sample, read, mutants } of decoders) {
  test(`${id}: every byte flipped, every cut, splices and noise are refused, and nothing else is thrown`, t => {
    const before = JSON.stringify(Object.getOwnPropertyNames(Object.prototype))
    const seed = 20260101
    const random = new Random(seed)
    const passed: string[] = []
    const attempt = (how: string, bytes: Uint8Array): void => { if (tame(read, bytes) !== undefined && !Buffer.from(bytes).equals(sample)) passed.push(how) }
    t.truthy(tame(read, sample))
    sample.forEach((byte, i) => attempt(`flip ${i}`, Uint8Array.from(sample, (same, j) => j === i ? byte ^ (1 << random.int(8)) : same)))
    sample.forEach((_, i) => attempt(`cut ${i}`, sample.subarray(0, i)))
    for (let i = 0; i < mutants; i++) {
      const from = random.int(sample.length)
      const part = sample.subarray(from, from + random.int(64))
      const at = random.int(sample.length)
      attempt(`splice ${i}, seed ${seed}`, Buffer.concat([sample.subarray(0, at), part, sample.subarray(at + random.int(8))]))
      attempt(`noise ${i}, seed ${seed}`, Uint8Array.from({ length: random.int(300) }, () => random.int(256)))
    }
    // a link carries no signature: what a changed byte of its keys and times says is found out at the door
    t.deepEqual(id === 'link' ? passed.filter(how => !how.startsWith('flip') && !how.startsWith('splice')) : passed, [])
    t.is(JSON.stringify(Object.getOwnPropertyNames(Object.prototype)), before)
  })
}

testProp('entries of any history are what they say after they were read again', [steps, governance], async (t, history, rules) => {
  const [site] = await live(history, rules) as [typeof log]
  for (const entry of site.entries()) t.deepEqual(readEntry(entry.bytes), entry)
}, { numRuns: 15 })

const showable = fc.string({ minLength: 1, maxLength: 16, unit: 'grapheme' }).filter(text => isShowable(text) && Buffer.byteLength(text) <= 64)

testProp('knocks and links are what they say after they were read again', [showable, fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.boolean(), fc.nat(3)], async (t, name, key, personal, addresses) => {
  const hex = Buffer.from(key).toString('hex')
  const said = await writeKnock(bea, { net: hex, charter: hex, invite: hex, name })
  t.deepEqual(decodeKnock(encodeKnock(said)), said)
  const made: InviteLink = { ...link, name, networkKey: key, net: hex, door: personal ? bea.peer : key, addresses: Array.from({ length: addresses }, (_, i) => `/ip4/10.0.0.${i}/tcp/1`) }
  t.deepEqual(decodeLink(encodeLink(made)), { ...made, networkKey: key, door: personal ? bea.peer : key })
}, { numRuns: 50 })

testProp('arbitrary bytes and texts are no entry, knock or link', [fc.uint8Array({ maxLength: 400 }), fc.string()], (t, bytes, text) => {
  for (const { read } of decoders) t.is(tame(read, bytes), undefined)
  t.throws(() => decodeLink(text), { instanceOf: InvalidParametersError })
  t.throws(() => decodeLink(`fmtl://heart/${text}`), { instanceOf: InvalidParametersError })
}, { numRuns: 500 })

/** {"a": 1, "b": 2} in other ways, and what has no place in it. */
const hand: ReadonlyArray<{ id: string, hex: string }> = [
  { id: 'keys out of order', hex: 'a2616202616101' },
  { id: 'a key twice', hex: 'a2616101616102' },
  { id: 'a map without length', hex: 'bf6161016162 02ff' },
  { id: 'a list without length', hex: '9f0102ff' },
  { id: 'a text without length', hex: '7f6161ff' },
  { id: 'an integer longer than it need be', hex: 'a16161 1801' },
  { id: 'a length longer than it need be', hex: 'b80161 6101' },
  { id: 'a float of 16 bits', hex: 'a16161f93c00' },
  { id: 'a float of 32 bits', hex: 'a16161fa3fc00000' },
  { id: 'NaN', hex: 'a16161fb7ff8000000000000' },
  { id: 'infinity', hex: 'a16161fb7ff0000000000000' },
  { id: 'a tag', hex: 'a16161c001' },
  { id: 'undefined', hex: 'a16161f7' },
  { id: 'a key that is a number', hex: 'a10102' },
  { id: '__proto__', hex: `a1 69${Buffer.from('__proto__').toString('hex')} a1 6161 01` },
  { id: 'two values', hex: '0102' },
  { id: 'a declared length of 2^53', hex: '5b0020000000000000' },
  { id: 'a text that is no UTF-8', hex: 'a161ff01' },
  { id: 'deep nesting', hex: `${'81'.repeat(20_000)}01` },
  { id: 'nothing', hex: '' }
]
for (const { id, hex } of hand) {
  test(`${id} is not in canonical form`, t => {
    t.throws(() => decodeCanonical(Buffer.from(hex.replaceAll(' ', ''), 'hex'), MAX_ENTRY_BYTES, 'test'), { instanceOf: DecodeError })
    t.is(({} as Record<string, unknown>).a, undefined)
  })
}

test('the plain form is read', t => {
  t.deepEqual(decodeCanonical(Buffer.from('a2616101616202', 'hex'), 16, 'test'), { a: 1, b: 2 })
})

const names: ReadonlyArray<{ id: string, name: string, want: boolean }> = [
  { id: 'plain', name: 'site 1', want: true },
  { id: 'accents', name: 'Städtische Klinik', want: true },
  { id: 'Greek by itself', name: 'Νοσοκομείο Αθηνών', want: true },
  { id: 'Japanese', name: '東京病院', want: true },
  { id: 'Hindi', name: 'दिल्ली अस्पताल', want: true },
  { id: 'Cyrillic a among Latin', name: 'Chаrité', want: false },
  { id: 'Greek o among Latin', name: 'hοspital', want: false },
  { id: 'decomposed accent', name: 'Sta\u0308dt', want: false },
  { id: 'right-to-left override', name: 'site\u202e1', want: false },
  { id: 'zero-width joiner', name: 'si\u200dte', want: false },
  { id: 'Hangul filler', name: 'site\u3164', want: false },
  { id: 'Braille blank', name: 'site\u2800', want: false },
  { id: 'variation selector', name: 'site\ufe0f', want: false },
  { id: 'line break', name: 'site\n1', want: false },
  { id: 'escape', name: 'site\u001b[31m', want: false },
  { id: 'no-break space', name: 'site\u00a01', want: false },
  { id: 'space at the end', name: 'site ', want: false },
  { id: 'stacked marks', name: `a${'\u0337'.repeat(9)}`, want: false }
]
for (const { id, name, want } of names) {
  test(`a name with ${id} is ${want ? 'shown' : 'refused'}`, async t => {
    const said = writeKnock(bea, { net: log.id, charter: log.id, invite: id === '' ? '' : log.id, name })
    if (want) t.is((await said).name, name)
    else await t.throwsAsync(said, { instanceOf: DecodeError, message: /name/ })
  })
}

test('a note of a megabyte is refused before it is read', async t => {
  await t.throwsAsync(writeEntry(ann, { kind: 'revoke', peer: bea.peer, reason: 'x'.repeat(1 << 20) }, NOW, [genesis]), { instanceOf: DecodeError, message: /at most/ })
  await t.throwsAsync(writeKnock(bea, { net: log.id, charter: log.id, invite: log.id, name: 'x'.repeat(1 << 20) }), { instanceOf: DecodeError })
  t.throws(() => decodeKnock(new Uint8Array(MAX_KNOCK_BYTES + 1)), { instanceOf: DecodeError, message: /at most/ })
  t.throws(() => decodeLink(`fmtl://x/${'A'.repeat(1 << 20)}`), { instanceOf: InvalidParametersError, message: /at most/ })
})

test('a field that is not known, and one that is missing, are refused', t => {
  const value = decodeCanonical(encodeKnock(knock), MAX_KNOCK_BYTES, 'test') as Record<string, unknown>
  const { name: _, ...less } = value
  for (const wrong of [{ ...value, more: 1 }, less]) t.throws(() => decodeKnock(encodeCanonical(wrong)), { instanceOf: DecodeError })
})
