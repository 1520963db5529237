/** Whatever happens to the file of a ledger is found, and the entry named that it happened to. */
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { LedgerDamage, LedgerStore } from '../../node/store/ledger-store.ts'
import { DataError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { readLedgerEntry } from '../../src/ledger/index.ts'
import { CONTEXT, START, entriesOf, fileOf, flipped, folder, lineOf, roundOf, scan, startsOf, take } from '../helpers/ledger.ts'
import { signer } from '../membership/helpers.ts'
import type { LedgerEntry } from '../../src/ledger/index.ts'

const ann = signer('ann')
const small = fileOf(await entriesOf(ann, [START, roundOf(0), take(0)]))
const starts = startsOf(small)

test('an entry is read as it was written', async t => {
  for (const act of [START, roundOf(3), take(2), { kind: 'stop', reason: 'SIGTERM' } as const]) {
    const [entry] = await entriesOf(ann, [act])
    t.like(entry, { ...act, ...CONTEXT, by: ann.peer, seq: 1 })
    t.deepEqual(readLedgerEntry((entry as { bytes: Uint8Array }).bytes), entry)
  }
})

for (const [signatures, flips] of [['newest', [0x01, 0x40]], ['all', [0x02, 0x80]]] as const) {
  test(`each flipped bit is found in the entry that it is in; signatures checked: ${signatures}`, async t => {
    const path = join(await folder(t), 'ledger.log')
    await writeFile(path, small)
    t.deepEqual(await scan(path, signatures), { entries: 3, torn: undefined, damages: [] })
    for (const bits of flips) {
      for (let at = 0; at < small.length; at++) {
        await writeFile(path, flipped(small, at, bits))
        const { damages: [first], torn, entries } = await scan(path, signatures)
        const line = lineOf(starts, at)
        const named = first === undefined ? { entry: torn === undefined ? 0 : entries + 1, byte: torn } : { entry: first.entry, byte: first.byte }
        if (named.entry !== line || named.byte !== starts[line - 1]) return t.fail(`byte ${at} ^ ${bits}: ${JSON.stringify(named)}, entry ${line} was expected: ${first?.message}`)
      }
    }
  })
}

test('a flipped bit among two thousand entries is found in the entry that it is in', async t => {
  const path = join(await folder(t), 'ledger.log')
  const file = fileOf(await entriesOf(ann, Array.from({ length: 2000 }, (_, i) => take(i))))
  const begins = startsOf(file)
  t.is(begins.length, 2000)
  const random = new Random(4)
  for (let i = 0; i < 24; i++) {
    const at = Math.floor(random.next() * (file.length - 1))
    await writeFile(path, flipped(file, at, 1 << Math.floor(random.next() * 8)))
    const { damages: [first] } = await scan(path, 'newest')
    t.is(first?.entry, lineOf(begins, at), `byte ${at}: ${first?.message}`)
    t.is(first?.byte, begins[lineOf(begins, at) - 1])
  }
})

test('a file that was cut off at any byte has an end that is no entry, or is what the ledger was before', async t => {
  const path = join(await folder(t), 'ledger.log')
  for (let length = 0; length < small.length; length++) {
    await writeFile(path, small.subarray(0, length))
    const { entries, torn, damages } = await scan(path, 'newest')
    const whole = starts.filter(start => start > 0 && start <= length).length
    if (damages.length > 0 || entries !== whole || torn !== (starts[whole] === length ? undefined : starts[whole])) return t.fail(`${length} bytes: ${entries} entries, torn at ${torn}`)
  }
  t.pass()
})

const [first, second, third] = await entriesOf(ann, [START, take(0), take(1)]) as [LedgerEntry, LedgerEntry, LedgerEntry]
const [forged] = await entriesOf(ann, [take(7)], first) as [LedgerEntry]
const [stranger] = await entriesOf(signer('bea'), [take(0)], first) as [LedgerEntry]
for (const { what, file, entry, message } of [
  { what: 'swapped entries', file: [first, third, second], entry: 2, message: /it is number 3, 2 was expected/ },
  { what: 'a removed entry', file: [first, third], entry: 2, message: /it is number 3, 2 was expected/ },
  { what: 'a removed beginning', file: [second, third], entry: 1, message: /it is number 2, 1 was expected/ },
  { what: 'an entry twice', file: [first, second, second, third], entry: 3, message: /it is number 2, 3 was expected/ },
  { what: 'another entry of the author in its place', file: [first, forged, third], entry: 3, message: /does not follow the one before it/ },
  { what: 'an entry of somebody else', file: [first, stranger, third], entry: 2, message: new RegExp(`it is by ${stranger.by}`) }
]) {
  for (const signatures of ['newest', 'all'] as const) {
    test(`${what}: found; signatures checked: ${signatures}`, async t => {
      const path = join(await folder(t), 'ledger.log')
      await writeFile(path, fileOf(file))
      const { damages: [found] } = await scan(path, signatures)
      t.is(found?.entry, entry)
      t.regex(String(found?.message), message)
    })
  }
}

test('what was appended is there when the ledger is opened again', async t => {
  const path = join(await folder(t), 'home', 'ledger.log')
  const store = await LedgerStore.open(path, { signer: ann, now: () => 7 })
  await Promise.all([START, roundOf(0), take(0)].map(async act => await store.append(act, CONTEXT)))
  await store.close()
  const seen: string[] = []
  const again = await LedgerStore.open(path, { signer: ann, onEntry: ({ kind, at, seq }) => seen.push(`${seq} ${kind} ${at}`) })
  t.deepEqual(seen, ['1 start 7', '2 round 7', '3 take 7'])
  await again.append(take(1), CONTEXT)
  await again.close()
  t.deepEqual(await scan(path, 'all'), { entries: 4, torn: undefined, damages: [] })
})

test('a last line without end is cut off, in one line, and the ledger goes on', async t => {
  const path = join(await folder(t), 'ledger.log')
  await writeFile(path, small.subarray(0, small.length - 1))
  const notices: string[] = []
  const store = await LedgerStore.open(path, { signer: ann, onNotice: line => notices.push(line) })
  t.deepEqual(notices, [`ledger.log: ${small.length - 1 - (starts[2] as number)} bytes behind entry 2 (byte ${starts[2]}) were never written to the end; cut off`])
  await store.append(take(0), CONTEXT)
  await store.close()
  t.deepEqual(await scan(path, 'all'), { entries: 3, torn: undefined, damages: [] })
})

test('nothing is written behind a damaged entry; the error says which it is and how to go on', async t => {
  const path = join(await folder(t), 'ledger.log')
  const [one, two, three] = await entriesOf(ann, [START, roundOf(0), take(0)]) as [LedgerEntry, LedgerEntry, LedgerEntry]
  const bytes = flipped(Buffer.from(two.bytes), two.bytes.length - 9, 1) // in its signature
  await writeFile(path, fileOf([one, { ...two, bytes }, three]))
  const error = await t.throwsAsync(LedgerStore.open(path, { signer: ann }), { instanceOf: LedgerDamage, code: 'ERR_DATA' })
  t.is(error.message, `ledger.log: entry 2 (byte ${starts[1]}): signature does not fit`)
  t.is(error.next, `keep it and begin another: mv ${path} ${path}.damaged`)
  t.is((await readFile(path)).length, small.length)
})

test('a ledger of another node is left alone', async t => {
  const path = join(await folder(t), 'ledger.log')
  await writeFile(path, small)
  await t.throwsAsync(LedgerStore.open(path, { signer: signer('bea') }), { instanceOf: DataError, message: /ledger of .* this node is/ })
})

test('two writers of one ledger: the second to write is told', async t => {
  const path = join(await folder(t), 'ledger.log')
  const store = await LedgerStore.open(path, { signer: ann })
  await appendFile(path, small)
  await t.throwsAsync(store.append(START, CONTEXT), { instanceOf: DataError, message: /somebody else writes to it/ })
  t.deepEqual(await readFile(path), small)
  await store.close()
})

test('a line that is longer than any entry is not held in memory', async t => {
  const path = join(await folder(t), 'ledger.log')
  await writeFile(path, Buffer.concat([small, Buffer.alloc(3 * 2 ** 20, 'A'), Buffer.from('\n')]))
  const { damages: [found] } = await scan(path, 'newest')
  t.is(found?.message, `ledger.log: entry 4 (byte ${small.length}): it is longer than an entry can be`)
})
