import test from 'ava'
import { NOW, act, copy, enter, found, invite, knock, signer, sync } from './helpers.ts'

const [ann, bea, cyd, dov] = ['ann', 'bea', 'cyd', 'dov'].map(signer) as [ReturnType<typeof signer>, ReturnType<typeof signer>, ReturnType<typeof signer>, ReturnType<typeof signer>]

test('a newcomer is a member after invitation, knock and a yes', async t => {
  const log = await found(ann)
  const id = await invite(log, ann)
  await knock(log, ann, bea, id)
  t.true(log.state.pending.has(bea.peer))
  t.false(log.state.members.has(bea.peer))
  await act(log, ann, { kind: 'admit', peer: bea.peer })
  t.is(log.state.members.get(bea.peer)?.role, 'member')
  t.deepEqual(log.state.invitations.get(id)?.used, [bea.peer])
})

test('logs that were apart agree after an exchange in any order', async t => {
  const log = await found(ann)
  for (const newcomer of [bea, cyd]) await enter(log, ann, newcomer)
  const other = copy(log)
  await enter(log, ann, dov)
  await act(other, bea, { kind: 'revoke', peer: cyd.peer, reason: 'left the trial' })
  sync(log, other)
  t.deepEqual(log.heads, other.heads)
  t.is(log.state.digest, other.state.digest)
  await act(log, dov, { kind: 'revoke', peer: cyd.peer, reason: 'left the trial' })
  t.true(log.state.revoked.has(cyd.peer))
})

test('what a revoked member did meanwhile does not count, whoever hears of it first', async t => {
  const log = await found(ann)
  for (const newcomer of [bea, cyd]) await enter(log, ann, newcomer)
  const apart = copy(log)
  await enter(apart, cyd, dov) // cyd lets somebody in, cut off from the others
  for (const voter of [ann, bea]) await act(log, voter, { kind: 'revoke', peer: cyd.peer, reason: 'stolen key' })
  t.true(log.state.revoked.has(cyd.peer))
  sync(log, apart)
  t.false(apart.state.members.has(dov.peer))
  t.false(log.state.members.has(dov.peer))
  t.is(log.state.digest, apart.state.digest)
})

test('an invitation is used as often as it says and no longer than it says', async t => {
  const log = await found(ann)
  const id = await invite(log, ann, { uses: 1 })
  await knock(log, ann, bea, id)
  await act(log, ann, { kind: 'admit', peer: bea.peer })
  await t.throwsAsync(knock(log, ann, cyd, id), { code: 'ERR_REFUSED', message: /used up/ })
  const late = await invite(log, ann, { until: NOW + 1000 })
  await t.throwsAsync(knock(log, ann, cyd, late, NOW + 1000 + 300_001), { code: 'ERR_REFUSED', message: /expired/ })
})
