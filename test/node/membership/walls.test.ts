/** Strangers at the wall: what a peer gets that is no member, counted in bytes of any protocol of ours or of libp2p's. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { multiaddr } from '@multiformats/multiaddr'
import { createNode } from '../../../node/libp2p.ts'
import { encodeLink } from '../../../src/membership/index.ts'
import { enterSite, foundSite, knockWith, linkOf, start, until } from './helpers.ts'
import { MEMBERSHIP_PROTOCOL } from '../../../protocols/membership/index.ts'
import { KNOCK_PROTOCOL } from '../../../protocols/knock/index.ts'
import { openFrames } from '../../../protocols/request.ts'
import { seededIdentity } from '../../../node/store/identity.ts'
import type { InviteLink } from '../../../src/membership/index.ts'
import type { JoinInit } from '../../../node/membership/join.ts'

const WITHIN_MS = 1_000

/** Connects as a stranger would, tries every protocol, and counts what comes back. */
async function intrude (address: string, networkKey: Uint8Array | undefined): Promise<{ bytes: number, ms: number, why: string }> {
  const node = await createNode({ privateKey: await seededIdentity(9, 'stranger'), profile: 'testnet', ...networkKey === undefined ? {} : { networkKey } })
  const startedAt = performance.now()
  let bytes = 0
  let why = ''
  try {
    const connection = await node.dial(multiaddr(address), { signal: AbortSignal.timeout(5_000) })
    for (const protocol of [KNOCK_PROTOCOL, MEMBERSHIP_PROTOCOL, '/fmtl/attach/1.0.0', '/fmtl/blob/1.0.0', '/ipfs/id/1.0.0', '/ipfs/ping/1.0.0']) {
      try {
        const wire = await openFrames({ network: node }, connection.remotePeer.toString(), protocol, 65536, { signal: AbortSignal.timeout(500) })
        await wire.write(new Uint8Array(32), { signal: AbortSignal.timeout(500) })
        bytes += (await wire.read({ signal: AbortSignal.timeout(500) })).byteLength
      } catch (err) {
        why = (err as Error).message
      }
    }
  } catch (err) {
    why = (err as Error).message
  }
  const ms = performance.now() - startedAt
  await node.stop()
  return { bytes, ms, why }
}

for (const { id, key } of [
  { id: 'no network key', key: () => undefined },
  { id: 'another network key', key: () => Uint8Array.from(randomBytes(32)) },
  { id: 'the network key and no invitation', key: (own: Uint8Array) => own }
]) {
  test.serial(`refused without a byte: ${id}`, async t => {
    const ann = await foundSite(t, 'ann')
    const { bytes, ms, why } = await intrude(ann.addresses[0] as string, key(ann.membership.networkKey))
    t.is(bytes, 0)
    t.true(ms < WITHIN_MS, `${ms} ms`)
    t.not(why, '')
    await until(() => ann.events.some(event => event.type === 'peer:refused'), 3_000)
    t.is(ann.presence.neighbours.length, 0)
  })
}

/** The same through the front door: `join` with a link that is not good. */
for (const { id, link, join = {}, want } of [
  { id: 'an invitation that has expired', link: async site => await linkOf(site, { expiresMs: 1_000 }, Date.now() - 3_600_000), want: /expired/ },
  { id: 'an invitation that has expired, by a newcomer whose clock is wrong', link: async site => await linkOf(site, { expiresMs: 1_000 }, Date.now() - 3_600_000), join: { now: () => Date.now() - 3_600_000 }, want: /do not let this invitation in/ },
  { id: 'an invitation for another peer', link: async site => await linkOf(site, { for: '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5' }), want: /is for 12D3KooWGC6/ },
  { id: 'an invitation that was made up', link: async site => ({ ...await linkOf(site), door: Uint8Array.from(randomBytes(32)) }), want: /do not let this invitation in/ }
] as ReadonlyArray<{ id: string, link: (site: Awaited<ReturnType<typeof foundSite>>) => Promise<InviteLink>, join?: Partial<JoinInit>, want: RegExp }>) {
  test.serial(`refused with one line: ${id}`, async t => {
    const ann = await foundSite(t, 'ann', { invitationDays: 1 })
    const bad = await link(ann)
    const startedAt = performance.now()
    const error = await t.throwsAsync(knockWith(t, 'bea', bad, join), { message: want })
    t.true(performance.now() - startedAt < WITHIN_MS)
    t.false(error?.message.includes('\n'))
    t.is(ann.membership.state.pending.size, 0)
    t.true(encodeLink(bad).length <= 1024, `${encodeLink(bad).length} characters`)
  })
}

test.serial('a revoked member is cut off everywhere, and nothing it does later changes anything', async t => {
  const ann = await foundSite(t, 'ann')
  const bea = await enterSite(t, ann, 'bea')
  const cyd = await enterSite(t, ann, 'cyd')
  await until(() => [ann, bea, cyd].every(site => site.membership.state.members.size === 3 && site.presence.neighbours.every(({ connected }) => connected)))
  const peer = cyd.membership.signer.peer
  await ann.membership.act({ kind: 'revoke', peer, reason: 'stolen laptop' })
  await until(() => (bea.membership.state.votes.get(peer)?.length ?? 0) === 1)
  await bea.membership.act({ kind: 'revoke', peer, reason: 'stolen laptop' })
  const ms = await until(() => [ann, bea].every(site => site.membership.state.revoked.has(peer) && !site.node.getPeers().map(String).includes(peer)))
  t.true(ms < 10_000)
  const before = [ann, bea].map(site => [site.membership.state.digest, site.membership.heads.join()])
  await cyd.membership.act({ kind: 'invite', key: peer, role: 'member', from: Date.now(), until: Date.now() + 1000, uses: 1 }).catch(() => undefined)
  for (const site of [ann, bea]) await site.membership.add(cyd.membership.entries().map(({ bytes }) => bytes))
  t.deepEqual([ann, bea].map(site => [site.membership.state.digest, site.membership.heads.join()]), before)
})

test.serial('a revocation crosses a partition when it heals: until then the other side goes on with the revoked member', async t => {
  const ann = await foundSite(t, 'ann', { quorum: 1 })
  const bea = await enterSite(t, ann, 'bea')
  const cyd = await enterSite(t, ann, 'cyd')
  await until(() => [ann, bea, cyd].every(site => site.membership.state.members.size === 3 && site.presence.neighbours.every(({ connected }) => connected)))
  const peer = cyd.membership.signer.peer
  await ann.stop() // cut off: what it decides now, nobody hears
  await ann.membership.act({ kind: 'revoke', peer, reason: 'stolen laptop' })
  t.true(ann.membership.state.revoked.has(peer))
  await until(() => bea.presence.neighbours.find(neighbour => neighbour.peer === peer)?.connected === true)
  // on the other side, the revoked member still decides things
  const meanwhile = await invite(cyd)
  await until(() => bea.membership.state.invitations.has(meanwhile))

  const again = await start(t, 'ann', ann.home, ann.membership, { bootstrap: bea.addresses })
  const ms = await until(() => bea.membership.state.revoked.has(peer) && !bea.node.getPeers().map(String).includes(peer))
  t.true(ms < 10_000, `${ms} ms`)
  for (const site of [again, bea]) t.not(site.membership.state.invitations.get(meanwhile)?.withdrawn, false, 'what it opened is closed')
  await until(() => again.membership.state.digest === bea.membership.state.digest)
  const before = [again, bea].map(site => site.membership.state.digest)
  await invite(cyd).catch(() => undefined)
  for (const site of [again, bea]) await site.membership.add(cyd.membership.entries().map(({ bytes }) => bytes))
  t.deepEqual([again, bea].map(site => site.membership.state.digest), before)
})

/** @returns the invitation's id */
async function invite (site: Awaited<ReturnType<typeof foundSite>>): Promise<string> { return (await linkOf(site)).invite }
