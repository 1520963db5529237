import { fc, testProp } from '@fast-check/ava'
import { FmtlError } from '../../src/errors.ts'
import { MemberLog, writeEntry } from '../../src/membership/index.ts'
import { NOW, copy } from './helpers.ts'
import { PEOPLE, exchangeAll, governance, live, shuffled, steps, told } from './history.ts'
import type { Entry, Signer } from '../../src/membership/index.ts'

const RUNS = { numRuns: 25 }

testProp('logs that diverged agree on heads, digest and state after a full exchange', [steps, governance, fc.integer({ min: 3, max: 5 })], async (t, history, rules, founders) => {
  const sites = await live(history, rules, founders)
  t.true(exchangeAll(sites) < 20)
  const [first, ...others] = sites.map(told)
  for (const other of others) t.deepEqual(other, first)
}, RUNS)

testProp('a log read from its entries in any order, and one to which they came one by one, have the same state', [steps, governance, fc.nat()], async (t, history, rules, seed) => {
  const [log] = await live(history, rules) as [MemberLog]
  const [genesis, ...rest] = log.entries() as [Entry, ...Entry[]]
  t.deepEqual(told(new MemberLog(genesis, shuffled(rest, seed))), told(log))
  const slow = new MemberLog(genesis)
  for (const { bytes } of rest) slow.add([bytes])
  t.deepEqual(told(slow), told(log))
  const wild = new MemberLog(genesis)
  for (const { bytes } of shuffled(rest, seed)) wild.add([bytes])
  t.deepEqual(told(wild), told(log))
}, RUNS)

testProp('whoever was revoked stays so whatever is built on that', [steps, steps, governance], async (t, history, later, rules) => {
  const [log] = await live(history, rules) as [MemberLog]
  const revoked = [...log.state.revoked.keys()]
  for (const { by, whom, pick } of later) {
    const what = pick % 2 === 0 ? { kind: 'revoke', peer: (PEOPLE[whom] as Signer).peer, reason: 'chance' } as const : { kind: 'leave' } as const
    const heads = log.entries().filter(({ hash }) => log.heads.includes(hash))
    log.add([(await writeEntry(PEOPLE[by] as Signer, what, NOW, heads)).bytes])
    t.deepEqual(revoked.filter(peer => !log.state.revoked.has(peer)), [])
  }
}, RUNS)

testProp('a merge brings nobody back whose voters stay in', [steps, fc.integer({ min: 3, max: 5 })], async (t, history, founders) => {
  const sites = await live(history.map(one => ({ ...one, fork: false })), { quorum: 'majority' }, founders)
  const before = sites.map(site => [...site.state.revoked.values()])
  t.is(before.length, 3)
  const voices = sites.map(site => site.state.members.size)
  exchangeAll(sites)
  const [{ state }] = sites as [MemberLog]
  before.forEach((revocations, i) => {
    for (const { peer, by } of revocations) {
      // others may have come in meanwhile, of whom the voters did not know
      t.true(state.revoked.has(peer) || by.some(voter => state.revoked.has(voter) || !state.members.has(voter)) || state.members.size > (voices[i] as number))
    }
  })
}, RUNS)

testProp('what a revoked member signs afterwards changes neither heads nor state', [steps, steps, governance.map(rules => ({ ...rules, quorum: 'majority' as const }))], async (t, history, later, rules) => {
  const [log] = await live(history.map(one => ({ ...one, fork: false })), rules, 4) as [MemberLog]
  const [ann, , , author] = PEOPLE as [Signer, Signer, Signer, Signer]
  for (const by of PEOPLE) await log.append(by, { kind: 'revoke', peer: author.peer, reason: 'stolen key' }, NOW).catch((cause: unknown) => t.true(cause instanceof FmtlError))
  // the others may have left or expelled each other until nobody is there to vote
  if (!log.state.revoked.has(author.peer)) return t.true(!log.state.members.has(author.peer) || !log.state.members.has(ann.peer) || log.state.members.size < 4)
  log.add([]) // what waited for an entry that chance had signed on two logs
  const before = told(log)
  const hostile = copy(log)
  let own: Entry | undefined
  for (const { whom, pick } of later) {
    const peer = (PEOPLE[whom] as Signer).peer
    const entries = [...hostile.entries(), ...own === undefined ? [] : [own]]
    const head = own !== undefined && pick % 3 === 0 ? own : entries[pick % entries.length] as Entry
    const invite = [...log.state.invitations.keys()][pick % Math.max(1, log.state.invitations.size)]
    const acts = [{ kind: 'leave' }, { kind: 'revoke', peer, reason: 'spite' }, { kind: 'admit', peer }, ...invite === undefined ? [] : [{ kind: 'withdraw' as const, invite }]] as const
    own = await writeEntry(author, acts[pick % acts.length] as typeof acts[number], NOW, [head])
    log.add([own.bytes])
    t.deepEqual(told(log), before)
  }
}, RUNS)
