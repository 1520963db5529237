/** What an audit of a home finds in the consortium's files, the kept deltas, and in copies of the ledger. */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { BackendError, ResourceError } from '../../src/errors.ts'
import { DeltaStore } from '../../node/store/delta-store.ts'
import { NodeLedger } from '../../node/ledger.ts'
import { audit } from '../../node/audit/audit.ts'
import { auditCharter, auditMembers } from '../../node/audit/consortium.ts'
import { hashOf } from '../../src/membership/encoding.ts'
import { inOneLine } from '../../node/audit/report.ts'
import { mergeTerms } from '../../src/training/merge.ts'
import { toLine, writeLedgerEntry } from '../../src/ledger/index.ts'
import { whenThereIsSpace } from '../../node/store/durable.ts'
import { CONTEXT, START, entriesOf, fileOf, flipped, folder, lineOf, roundOf, startsOf, take } from '../helpers/ledger.ts'
import { NOW, act, found, invite, knock, signer, training } from '../membership/helpers.ts'
import type { Problem } from '../../node/audit/report.ts'
import type { LedgerContext, LedgerEntry } from '../../src/ledger/index.ts'
import type { PackedDelta } from '../../src/federation/exchange.ts'

const [ann, bea, cyd] = ['ann', 'bea', 'cyd'].map(signer) as [ReturnType<typeof signer>, ReturnType<typeof signer>, ReturnType<typeof signer>]
const log = await found(ann)
await knock(log, ann, bea, await invite(log, ann))
await act(log, ann, { kind: 'admit', peer: bea.peer })
const lines = log.entries().map(({ bytes }) => `${toLine(bytes)}\n`)
const members = Buffer.from(lines.join(''))
const charter = Buffer.from(`${JSON.stringify(log.state.charter, null, 2)}\n`)

/** The lowest at every byte: the others of a letter are checked by the same lines. */
const ALL_BITS = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80]

async function consortiumIn (home: string, file: Uint8Array = members): Promise<void> {
  await mkdir(join(home, 'consortium'), { recursive: true })
  await writeFile(join(home, 'consortium', 'members.log'), file)
}

async function problemsOf (check: (say: (problem: Problem) => void) => Promise<unknown>): Promise<Problem[]> {
  const problems: Problem[] = []
  await check(problem => problems.push(problem))
  return problems
}

test('each flipped bit of a member log is found in the entry that it is in', async t => {
  const home = await folder(t)
  const starts = startsOf(members)
  await consortiumIn(home)
  t.deepEqual(await problemsOf(async say => await auditMembers(home, say)), [])
  for (let at = 0; at < members.length; at++) {
    for (const bits of at % 8 === 0 ? ALL_BITS : [0x01]) {
      await consortiumIn(home, flipped(members, at, bits))
      const [first] = await problemsOf(async say => await auditMembers(home, say))
      const line = lineOf(starts, at)
      if (first?.entry !== line || first.byte !== starts[line - 1]) return t.fail(`byte ${at} ^ ${bits}: ${first === undefined ? 'not found' : inOneLine(first)}, entry ${line} was expected`)
    }
  }
})

test('a member log that was cut off at any byte has an end that is no entry, or is what the log was before', async t => {
  const home = await folder(t)
  const starts = startsOf(members)
  for (let length = 1; length < members.length; length++) {
    await consortiumIn(home, members.subarray(0, length))
    const [first] = await problemsOf(async say => await auditMembers(home, say))
    if (starts.includes(length) ? first !== undefined : first?.entry !== lineOf(starts, length - 1)) return t.fail(`${length} bytes: ${first === undefined ? 'not found' : inOneLine(first)}`)
  }
  t.pass()
})

for (const [what, order, message] of [
  ['entries in another order', [0, 2, 1, 3], /entry 2 .* does not stand before it/],
  ['a removed entry', [0, 2, 3], /entry 2 .* does not stand before it/],
  ['an entry twice', [0, 1, 1, 2, 3], /entry 3 .* it is entry 2 once more/],
  ['no beginning', [1, 2, 3], /entry 1 .* does not stand before it/]
] as const) {
  test(`a member log with ${what} is found out`, async t => {
    const home = await folder(t)
    await consortiumIn(home, Buffer.from(order.map(i => lines[i]).join('')))
    const [first] = await problemsOf(async say => await auditMembers(home, say))
    t.regex(first === undefined ? '' : inOneLine(first), message)
  })
}

test('each flipped bit of the charter is found, with its byte and line, and so is each missing end', async t => {
  const home = await folder(t)
  await consortiumIn(home)
  const consortium = await auditMembers(home, () => {})
  const path = join(home, 'consortium', 'charter.json')
  const firstOf = async (file: Uint8Array): Promise<Problem | undefined> => {
    await writeFile(path, file)
    return (await problemsOf(async say => { await auditCharter(home, consortium, say) }))[0]
  }
  t.is(await firstOf(charter), undefined)
  for (let at = 0; at < charter.length; at++) {
    const line = lineOf(startsOf(charter), at)
    for (const bits of at % 8 === 0 ? ALL_BITS : [0x01]) {
      const problem = await firstOf(flipped(charter, at, bits))
      if (problem?.byte !== at || !problem.message.startsWith(`line ${line} is not what the members signed: `)) return t.fail(`byte ${at} ^ ${bits}: ${problem?.message}`)
    }
    if ((await firstOf(charter.subarray(0, at)))?.byte !== at) return t.fail(`cut off at ${at}`)
  }
  t.is((await firstOf(Buffer.concat([charter, Buffer.from('\n')])))?.byte, charter.length)
})

test('a ledger is held to the member log: its consortium, its charter, its terms, and who is named', async t => {
  const home = await folder(t)
  await consortiumIn(home)
  const context: LedgerContext = { net: log.id, members: log.state.digest, charter: log.state.charterHash }
  const problemsWith = async (changes: Partial<LedgerContext>, round: Parameters<typeof roundOf>[1]): Promise<string[]> => {
    const contributors = [{ client: bea.peer, steps: 20, samples: 40 }]
    const merged = [{ host: ann.peer, round: 0, cid: '11'.repeat(32), weight: 1, codec: 'f32' as const }]
    const entry = await writeLedgerEntry(ann, roundOf(0, { contributors, merged, merge: mergeTerms(training), ...round }), { ...context, ...changes }, { seq: 1, prev: '00'.repeat(32), at: NOW })
    await writeFile(join(home, 'ledger.log'), fileOf([entry]))
    return (await audit(home)).problems.map(({ entry, message }) => `${entry}: ${message}`)
  }
  t.deepEqual(await problemsWith({}, {}), [])
  t.regex((await problemsWith({ net: '01'.repeat(32) }, {})).join(), /^1: it is of consortium 010101010101, the member log of /)
  t.regex((await problemsWith({ charter: '01'.repeat(32) }, {})).join(), /^1: its charter 010101010101 is none that the members signed$/)
  t.deepEqual(await problemsWith({}, { contributors: [{ client: cyd.peer, steps: 1, samples: 1 }] }), [`1: it names ${cyd.peer}, who was never a member`])
  t.deepEqual(await problemsWith({}, { merge: { ...mergeTerms(training), rate: 0.5 } }), ['1: it was merged on other terms than the charter\'s'])
})

test('two entries of one number are told as what they are, in one file and between copies', async t => {
  const home = await folder(t)
  const [first, second, third] = await entriesOf(ann, [START, take(0), take(1)]) as [LedgerEntry, LedgerEntry, LedgerEntry]
  const [other] = await entriesOf(ann, [take(7)], first) as [LedgerEntry]
  const write = async (name: string, entries: LedgerEntry[]): Promise<string> => {
    await writeFile(join(home, name), fileOf(entries))
    return join(home, name)
  }
  await write('ledger.log', [first, second, other])
  const inOne = (await audit(home)).problems.map(inOneLine)
  t.true(inOne.includes(`ledger.log: entry 3: ${ann.peer} signed two different entries as number 2: this one, and entry 2 of ledger.log`), inOne.join('\n'))
  await write('ledger.log', [first, other])
  t.true((await audit(home)).ok)
  const copy = await write('copy.log', [first, second, third])
  const { ok, problems } = await audit(home, { against: [copy] })
  t.false(ok)
  t.deepEqual(problems.map(inOneLine), [
    `copy.log: entry 2: ${ann.peer} signed two different entries as number 2: this one, and entry 2 of ledger.log`,
    'ledger.log: it ends with entry 2, the copy copy.log with 3: entries were cut off'
  ])
  await t.throwsAsync(audit(home, { against: [join(home, 'none')] }), { code: 'ERR_INVALID_PARAMETERS' })
})

test('an end that a state does not follow from is found: rounds follow each other', async t => {
  const home = await folder(t)
  const states = ['b0', 'b1', 'b2'].map(byte => byte.repeat(32)) as [string, string, string]
  await writeFile(join(home, 'ledger.log'), fileOf(await entriesOf(ann, [roundOf(0, { before: states[0], after: states[1] }), roundOf(1, { before: states[2] })])))
  const { problems } = await audit(home)
  t.regex(problems.map(inOneLine).join(), /^ledger.log: entry 2 \(byte \d+\): round 1 began with state b2b2b2b2b2b2, the round before ended with b1b1b1b1b1b1$/)
})

test('a home without ledger and consortium is nothing to check', async t => {
  await t.throwsAsync(audit(await folder(t)), { code: 'ERR_INVALID_PARAMETERS', message: /nothing to check/ })
})

function delta (n: number): PackedDelta {
  const payload = Uint8Array.of(1, 2, 3, n)
  return { cid: hashOf(payload), codec: 'f32', payload }
}

test('deltas are kept for as many rounds as the charter says, also over a restart', async t => {
  const home = await folder(t)
  const open = async (): Promise<NodeLedger> => await NodeLedger.open({ home, signer: ann, context: () => CONTEXT, retainRounds: 2 })
  const close = async (ledger: NodeLedger, round: number): Promise<void> => {
    const packed = [delta(round), delta(100 + round)]
    const merged = packed.map(({ cid, codec }, i) => ({ host: `host-${i}`, round, cid, weight: 1, codec }))
    await ledger.append(roundOf(round, { merged }), { deltas: packed, signal: AbortSignal.timeout(5_000), onWaiting: reason => t.fail(reason) })
  }
  const kept = async (): Promise<string[]> => (await readdir(join(home, 'deltas'))).sort()
  const of = (...rounds: number[]): string[] => rounds.flatMap(round => [delta(round).cid, delta(100 + round).cid]).sort()
  const ledger = await open()
  for (const round of [0, 1, 2]) await close(ledger, round)
  t.deepEqual(await kept(), of(1, 2))
  await ledger.close()
  await writeFile(join(home, 'deltas', delta(55).cid), 'of a round that a kill has ended')
  const again = await open()
  t.deepEqual(await kept(), of(1, 2))
  await close(again, 3)
  t.deepEqual(await kept(), of(2, 3))
  await again.close()
  const { ok, problems } = await audit(home)
  t.true(ok, problems.map(inOneLine).join('\n'))
})

test('a delta whose content is not what its name says is found', async t => {
  const home = await folder(t)
  await writeFile(join(home, 'ledger.log'), fileOf(await entriesOf(ann, [START])))
  const store = new DeltaStore(join(home, 'deltas'), 20)
  await store.keep([delta(1), delta(2)])
  t.true((await audit(home)).ok)
  const path = join(home, 'deltas', delta(2).cid)
  for (let at = 0; at < 4; at++) {
    await writeFile(path, flipped(await readFile(path), at, 4))
    t.deepEqual((await audit(home)).problems.map(({ file }) => file), [`deltas/${delta(2).cid}`])
    await writeFile(path, delta(2).payload)
  }
})

test('a full disk is waited for, with the reason, until there is space or the node stops', async t => {
  const full = new ResourceError('ledger.log not written: no space left on the disk', { cause: Object.assign(new Error('full'), { code: 'ENOSPC' }), next: 'df -h /home' })
  const reasons: string[] = []
  let tries = 0
  const write = async (): Promise<string> => {
    if (++tries < 3) throw full
    return 'written'
  }
  const options = { signal: AbortSignal.timeout(10_000), onWaiting: (reason: string) => { reasons.push(reason) }, retryMs: 1 }
  t.is(await whenThereIsSpace(write, options), 'written')
  t.is(tries, 3)
  t.regex(reasons[0] as string, /^waiting: ledger.log not written: no space left on the disk, tried again every 5 s \(df -h \/home\)$/)
  const stop = new AbortController()
  await t.throwsAsync(whenThereIsSpace(async () => { throw full }, { ...options, signal: stop.signal, onWaiting: () => { stop.abort(new BackendError('stopped')) } }))
  await t.throwsAsync(whenThereIsSpace(async () => { throw new ResourceError('permission denied') }, options), { message: 'permission denied' })
})
