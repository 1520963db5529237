import test from 'ava'
import { MAX_ENTRIES_PER_VOICE, MemberLog, readEntry, writeEntry, writeKnock } from '../../src/membership/index.ts'
import { DAY, NOW, act, copy, enter, found, invite, knock, signer, sync } from './helpers.ts'
import type { Act, ConsortiumCharter, Entry, Signer } from '../../src/membership/index.ts'

const [ann, bea, cyd, dov, eve] = ['ann', 'bea', 'cyd', 'dov', 'eve'].map(signer) as [Signer, Signer, Signer, Signer, Signer]

async function consortium (rules: Parameters<typeof found>[1] = {}, ...others: readonly Signer[]): Promise<MemberLog> {
  const log = await found(ann, rules)
  for (const newcomer of others) await enter(log, ann, newcomer)
  return log
}

const named = (log: MemberLog, ...hashes: readonly (string | undefined)[]): Entry[] => log.entries().filter(({ hash }) => hashes.includes(hash))
const forge = async (log: MemberLog, by: Signer, what: Act, ...prev: readonly (string | undefined)[]): Promise<Entry> => {
  const entry = await writeEntry(by, what, NOW, named(log, ...prev))
  log.add([entry.bytes])
  return entry
}
const admissionOf = (log: MemberLog, who: Signer): string => (log.entries().find(entry => entry.kind === 'admit' && entry.peer === who.peer) as Entry).hash
const revoke = (who: Signer): Act => ({ kind: 'revoke', peer: who.peer, reason: 'test' })
const amended = ({ state: { charter } }: MemberLog, governance: Partial<ConsortiumCharter['governance']>): Act => ({ kind: 'amend', charter: { ...charter, version: charter.version + 1, governance: { ...charter.governance, ...governance } } })
const members = (log: MemberLog): string[] => [...log.state.members.keys()].sort()
const peers = (...who: readonly Signer[]): string[] => who.map(({ peer }) => peer).sort()

test('a vote that is dated back to when there were two members expels nobody', async t => {
  const log = await consortium({}, bea, cyd, dov)
  await forge(log, bea, revoke(ann), admissionOf(log, bea))
  t.false(log.state.revoked.has(ann.peer))
  t.deepEqual(members(log), peers(ann, bea, cyd, dov))
})

test('a founder cannot date an amendment back to when it was alone', async t => {
  const log = await consortium({}, bea, cyd)
  await forge(log, ann, amended(log, { quorum: 1 }), log.id)
  t.is(log.state.charter.version, 1)
})

test('a withdrawal that is dated back undoes no admission', async t => {
  const log = await consortium({}, bea, cyd)
  const used = [...log.state.invitations.values()].find(({ used }) => used.includes(cyd.peer))?.id as string
  await forge(log, bea, { kind: 'withdraw', invite: used }, used)
  t.true(log.state.members.has(cyd.peer))
  t.true(log.state.invitations.get(used)?.withdrawn)
})

test('an invitation that is burnt behind everybody\'s back leaves in whom others have built on', async t => {
  const log = await consortium({}, bea, cyd)
  const id = await invite(log, ann)
  await knock(log, ann, dov, id)
  await act(log, ann, { kind: 'admit', peer: dov.peer })
  await invite(log, bea)
  const said = await writeKnock(eve, { net: log.id, charter: log.state.charterHash, invite: id, name: 'eve' })
  const shut = await forge(log, cyd, { kind: 'knock', knock: said }, id)
  await forge(log, cyd, { kind: 'admit', peer: eve.peer }, shut.hash)
  t.true(log.state.members.has(dov.peer))
  t.false(log.state.members.has(eve.peer))
})

test('a single-use invitation that is redeemed on two sides lets in the same one on both', async t => {
  const log = await consortium({}, bea)
  const id = await invite(log, ann)
  const other = copy(log)
  for (const [side, by, newcomer] of [[log, ann, cyd], [other, bea, dov]] as const) {
    await knock(side, by, newcomer, id)
    await act(side, by, { kind: 'admit', peer: newcomer.peer })
  }
  sync(log, other)
  const admissions = log.entries().filter(entry => entry.kind === 'admit' && (entry.peer === cyd.peer || entry.peer === dov.peer)) as Array<Entry & { kind: 'admit' }>
  const [first, second] = admissions as [Entry & { kind: 'admit' }, Entry & { kind: 'admit' }]
  for (const side of [log, other]) {
    t.true(side.state.members.has(first.peer))
    t.false(side.state.members.has(second.peer))
    t.regex(side.state.ignored.get(second.hash) ?? '', /used up/)
  }
  t.is(log.state.digest, other.state.digest)
})

test('whoever lets in itself many times has one voice', async t => {
  const log = await consortium({}, bea, cyd, dov)
  const crowd = Array.from({ length: 5 }, (_, i) => signer(`cyd's ${i}`))
  for (const one of crowd) await enter(log, cyd, one)
  t.is(log.state.members.get((crowd[0] as Signer).peer)?.voice, cyd.peer)
  for (const one of [cyd, ...crowd]) await act(log, one, revoke(bea))
  t.false(log.state.revoked.has(bea.peer))
  for (const one of [ann, bea]) await act(log, one, revoke(cyd))
  t.true(log.state.revoked.has(cyd.peer))
  await t.throwsAsync(act(log, crowd[1] as Signer, revoke(ann)), { code: 'ERR_REFUSED', message: /no voice/ })
  await act(log, dov, { kind: 'admit', peer: (crowd[0] as Signer).peer })
  t.is(log.state.members.get((crowd[0] as Signer).peer)?.voice, (crowd[0] as Signer).peer)
})

test('a target that lets in others behind the voters\' backs is expelled none the less', async t => {
  const log = await consortium({}, bea, cyd)
  const apart = copy(log)
  for (const by of [bea, cyd]) await act(log, by, revoke(ann))
  for (let i = 0; i < 4; i++) await enter(apart, ann, signer(`ann's ${i}`)) // a founder's newcomers have voices of their own
  await act(apart, ann, { kind: 'leave' })
  sync(log, apart)
  for (const side of [log, apart]) {
    t.true(side.state.revoked.has(ann.peer))
    t.deepEqual(members(side), peers(bea, cyd))
  }
})

test('revocations that void each other both stand, on both sides', async t => {
  const log = await consortium({ quorum: 1 }, bea, cyd)
  const other = copy(log)
  await act(log, bea, revoke(cyd))
  await act(other, cyd, revoke(bea))
  sync(log, other)
  for (const side of [log, other]) {
    t.deepEqual([...side.state.revoked.keys()].sort(), peers(bea, cyd))
    t.deepEqual(members(side), peers(ann))
  }
  t.deepEqual(log.heads, other.heads)
})

test('a revocation that hangs on the vote of somebody revoked before does not stand', async t => {
  const log = await consortium({}, bea, cyd, dov)
  await act(log, bea, revoke(dov))
  const other = copy(log)
  for (const by of [ann, bea]) await act(log, by, revoke(cyd))
  await act(other, cyd, revoke(dov))
  t.true(other.state.revoked.has(dov.peer))
  const before = [log.heads, log.state.digest]
  log.add(other.entries().map(({ bytes }) => bytes))
  t.deepEqual([log.heads, log.state.digest], before)
  sync(log, other)
  t.true(other.state.members.has(dov.peer))
  t.deepEqual(other.heads, log.heads)
})

test('what a revoked member signed counts where a member had built on it', async t => {
  const log = await consortium({}, bea, cyd, dov)
  const other = copy(log)
  for (const by of [ann, bea]) await act(log, by, revoke(cyd))
  await invite(other, cyd)
  const [void_] = other.heads
  log.add(other.entries().map(({ bytes }) => bytes))
  t.false(log.has(void_ as string))
  await invite(other, dov)
  sync(log, other)
  for (const side of [log, other]) t.true(side.has(void_ as string))
  t.deepEqual(told(log), told(other))
})

function told (log: MemberLog): unknown { return [log.heads, log.state.digest, log.size] }

test('clients do not decide, invite or vote, and leave', async t => {
  const log = await consortium({}, bea)
  await enter(log, ann, cyd, 'client')
  const key = signer('door').peer
  for (const what of [{ kind: 'invite', key, role: 'member', from: NOW, until: NOW + DAY, uses: 1 }, revoke(bea), { kind: 'admit', peer: dov.peer }, amended(log, {})] as Act[]) {
    await t.throwsAsync(act(log, cyd, what), { code: 'ERR_REFUSED', message: /client/ })
  }
  await act(log, ann, revoke(bea)) // the only other voice is enough: a client's is none
  t.true(log.state.revoked.has(bea.peer))
  await act(log, cyd, { kind: 'leave' })
  t.deepEqual(members(log), peers(ann))
})

test('a vote counts once', async t => {
  const log = await consortium({}, bea, cyd, dov)
  await act(log, ann, revoke(dov))
  await t.throwsAsync(act(log, ann, revoke(dov)), { code: 'ERR_REFUSED', message: /before/ })
  await forge(log, ann, revoke(dov), ...log.heads)
  t.false(log.state.revoked.has(dov.peer))
})

test('a majority is more than half of the others', async t => {
  const log = await consortium({}, bea, cyd, dov, eve)
  for (const by of [ann, bea]) await act(log, by, revoke(eve))
  t.deepEqual(log.state.votes.get(eve.peer), [ann.peer, bea.peer])
  t.false(log.state.revoked.has(eve.peer))
  await act(log, cyd, revoke(eve))
  t.true(log.state.revoked.has(eve.peer))
})

test('a fixed number is enough, or all where there are fewer', async t => {
  const log = await consortium({ quorum: 2 }, bea, cyd, dov, eve)
  for (const by of [ann, bea]) await act(log, by, revoke(eve))
  t.true(log.state.revoked.has(eve.peer))
  const small = await consortium({ quorum: 5 }, bea)
  await act(small, ann, revoke(bea))
  t.true(small.state.revoked.has(bea.peer))
})

test('whoever was revoked comes in by no invitation, old or new', async t => {
  const log = await consortium({}, bea, cyd)
  const old = await invite(log, cyd, { uses: 5 })
  for (const by of [ann, bea]) await act(log, by, revoke(cyd))
  t.true(log.state.invitations.get(old)?.withdrawn)
  await t.throwsAsync(knock(log, ann, dov, old), { message: /withdrawn/ })
  await t.throwsAsync(invite(log, ann, { key: cyd.peer }), { message: /revoked/ })
  await t.throwsAsync(async () => { await knock(log, ann, cyd, await invite(log, ann)) }, { message: /revoked before/ })
})

test('whoever left comes back by a new invitation, and by none of before', async t => {
  const log = await consortium({}, bea)
  const id = await invite(log, ann, { uses: 3 })
  await knock(log, ann, cyd, id)
  await act(log, ann, { kind: 'admit', peer: cyd.peer })
  const own = await invite(log, cyd)
  await act(log, cyd, { kind: 'leave' })
  t.true(log.state.left.has(cyd.peer))
  await t.throwsAsync(knock(log, bea, cyd, id), { message: /needs another/ })
  await t.throwsAsync(knock(log, bea, cyd, own), { message: /withdrawn/ })
  await enter(log, bea, cyd)
  t.true(log.state.members.has(cyd.peer))
  t.false(log.state.left.has(cyd.peer))
})

test('who left and whoever never was in changes nothing', async t => {
  const log = await consortium({}, bea, cyd)
  await act(log, cyd, { kind: 'leave' })
  const before = told(log)
  for (const who of [cyd, dov]) {
    await forge(log, who, revoke(bea), ...log.heads)
    t.deepEqual(told(log), before)
  }
})

test('each way to be admitted asks for what it says', async t => {
  const open = await consortium({ admission: 'link' })
  await knock(open, ann, bea, await invite(open, ann))
  t.true(open.state.members.has(bea.peer))

  const one = await consortium({ admission: 'member' })
  await knock(one, ann, bea, await invite(one, ann))
  t.false(one.state.members.has(bea.peer))
  await act(one, ann, { kind: 'admit', peer: bea.peer })
  t.true(one.state.members.has(bea.peer))

  const two = await consortium({ admission: 'second-member' }, bea)
  await knock(two, ann, cyd, await invite(two, ann))
  await t.throwsAsync(act(two, ann, { kind: 'admit', peer: cyd.peer }), { message: /somebody else/ })
  await act(two, bea, { kind: 'admit', peer: cyd.peer })
  t.true(two.state.members.has(cyd.peer))
})

test('a withdrawn invitation opens no door, and nobody waits by it', async t => {
  const log = await consortium()
  const id = await invite(log, ann)
  await knock(log, ann, bea, id)
  await act(log, ann, { kind: 'withdraw', invite: id })
  t.is(log.state.pending.size, 0)
  await t.throwsAsync(act(log, ann, { kind: 'admit', peer: bea.peer }), { message: /withdrawn/ })
})

test('a charter is amended by a quorum, and approvals of its rival come too late', async t => {
  const log = await consortium({}, bea, cyd)
  const one = await act(log, ann, amended(log, { invitationDays: 5 }))
  const two = await act(log, bea, amended(log, { invitationDays: 6 }))
  t.deepEqual(log.state.proposals.map(({ approvals, needed }) => [approvals.length, needed]), [[1, 2], [1, 2]])
  await act(log, cyd, { kind: 'approve', amendment: one.hash })
  t.is(log.state.charter.governance.invitationDays, 5)
  await t.throwsAsync(act(log, cyd, { kind: 'approve', amendment: two.hash }), { message: /decided/ })
  await t.throwsAsync(act(log, ann, { kind: 'amend', charter: log.state.charter }), { message: /version/ })
})

test('amendments that race end the same on both sides', async t => {
  const log = await consortium({ quorum: 2 }, bea, cyd, dov)
  const other = copy(log)
  for (const [side, a, b, invitationDays] of [[log, ann, bea, 5], [other, cyd, dov, 6]] as const) {
    await act(side, b, { kind: 'approve', amendment: (await act(side, a, amended(side, { invitationDays }))).hash })
    t.is(side.state.charter.version, 2)
  }
  sync(log, other)
  t.is(log.state.charterHash, other.state.charterHash)
  t.is(log.state.charter.version, 2)
})

test('heads beyond what an entry can cite are told apart and joined in time', async t => {
  const log = await consortium({}, bea)
  const base = log.heads
  const many = await Promise.all(Array.from({ length: 40 }, async (_, i) => await writeEntry(ann, { kind: 'invite', key: signer(`d${i}`).peer, role: 'client', from: NOW, until: NOW + DAY, uses: 1 }, NOW, named(log, ...base))))
  const lacking = copy(log)
  log.add(many.map(({ bytes }) => bytes))
  lacking.add(many.slice(1).map(({ bytes }) => bytes))
  t.is(log.heads.length, 16)
  t.notDeepEqual(log.heads, lacking.heads)
  t.true(log.heads.every(head => log.has(head)))
  t.false(log.heads.every(head => lacking.has(head)))
  lacking.add(log.after(lacking.heads).map(({ bytes }) => bytes))
  t.deepEqual(lacking.heads, log.heads)
  for (let i = 0; i < 3; i++) await invite(log, bea)
  t.is(log.heads.length, 1)
})

test('depths that are not so, a second founding and another consortium are refused, and nothing is taken', async t => {
  const log = await consortium({}, bea)
  const before = told(log)
  const [head] = named(log, ...log.heads) as [Entry]
  const good = await writeEntry(bea, { kind: 'leave' }, NOW, [head])
  const deep = await writeEntry(bea, { kind: 'leave' }, NOW, [{ ...head, depth: 900_000 }])
  t.throws(() => log.add([good.bytes, deep.bytes]), { code: 'ERR_DECODE', message: /depth/ })
  const { bytes } = await writeEntry(bea, { kind: 'found', charter: log.state.charter, name: 'bea', nonce: '11'.repeat(32) }, NOW, [])
  t.throws(() => log.add([good.bytes, bytes]), { code: 'ERR_DECODE', message: /second founding/ })
  t.deepEqual(told(log), before)
  t.throws(() => MemberLog.read([bytes, good.bytes]), { code: 'ERR_DECODE', message: /missing/ })
  await t.throwsAsync(writeEntry(bea, { kind: 'leave' }, NOW, [{ ...head, depth: 1_000_000 }]), { code: 'ERR_DECODE', message: /depth/ })
})

test('an entry that waits with a wrong depth does not keep out what it cites', async t => {
  const log = await consortium({}, bea)
  const [head] = named(log, ...log.heads) as [Entry]
  const cause = await writeEntry(bea, { kind: 'leave' }, NOW, [head])
  const wrong = await writeEntry(bea, { kind: 'leave' }, NOW, [{ ...cause, depth: cause.depth + 7 }])
  t.deepEqual(log.add([wrong.bytes]), { entries: [], missing: [cause.hash] })
  t.is(log.add([cause.bytes]).entries.length, 1)
})

test('one member, and whom it lets in, fill a tenth of the log and no more', async t => {
  const log = await consortium({}, bea, cyd)
  let head = named(log, ...log.heads)
  const flood: Entry[] = []
  for (let i = 0; i < MAX_ENTRIES_PER_VOICE + 20; i++) {
    const entry = await writeEntry(bea, { kind: 'withdraw', invite: log.id }, i, head)
    flood.push(entry)
    head = [entry]
  }
  for (let i = 0; i < flood.length; i += 100) log.add(flood.slice(i, i + 100).map(({ bytes }) => bytes))
  const mine = (): number => log.entries().filter(({ by }) => by === bea.peer).length
  t.is(mine(), MAX_ENTRIES_PER_VOICE)
  await t.throwsAsync(invite(log, bea), { code: 'ERR_RESOURCE' })
  const built = await writeEntry(cyd, { kind: 'leave' }, NOW, flood.slice(-1))
  log.add([built.bytes])
  t.true(log.has(built.hash), 'what somebody else has built on is taken')
  t.is(mine(), flood.length)
})

test('expired, early and over-long invitations do not open the door', async t => {
  const log = await consortium({ invitationDays: 2 })
  await t.throwsAsync(invite(log, ann, { until: NOW + 3 * DAY }), { message: /2 days/ })
  await t.throwsAsync(knock(log, ann, bea, await invite(log, ann, { from: NOW + DAY, until: NOW + 2 * DAY })), { message: /not valid before/ })
  await t.throwsAsync(invite(log, ann, { from: NOW, until: NOW - 1 }), { code: 'ERR_DECODE', message: /until/ })
})

test('a knock for another consortium or an unknown charter is none', async t => {
  const log = await consortium()
  const id = await invite(log, ann)
  const good = { net: log.id, charter: log.state.charterHash, invite: id, name: 'bea' }
  for (const wrong of [{ net: '00'.repeat(32) }, { charter: '00'.repeat(32) }, { invite: '00'.repeat(32) }]) {
    const said = await writeKnock(bea, { ...good, ...wrong })
    await t.throwsAsync(act(log, ann, { kind: 'knock', knock: said }), { code: 'ERR_REFUSED' })
  }
  t.is(readEntry((await act(log, ann, { kind: 'knock', knock: await writeKnock(bea, good) })).bytes).kind, 'knock')
})
