/** Two members who see the consortium differently, or whose clocks do: they say so, and say when it is over. */
import test from 'ava'
import { enterSite, foundSite, start, until } from './helpers.ts'
import type { Site } from './helpers.ts'

/** A member set or charter that differs has to be said within that. */
const SAID_WITHIN_MS = 20_000

function waiting ({ events }: Site, about: RegExp): string[] {
  return events.flatMap(event => event.type === 'waiting' && about.test(event.reason) ? [event.reason] : [])
}

/** Nothing that others say gets into this member's log, as on a disk that takes no more. Returns what ends that. */
function deafen ({ membership }: Site): () => void {
  membership.add = async () => ({ entries: [], missing: [] })
  return () => { Reflect.deleteProperty(membership, 'add') }
}

test.serial('two members with different member sets say so within 20 s, each with both digests, and say when they agree again', async t => {
  const ann = await foundSite(t, 'ann')
  const bea = await enterSite(t, ann, 'bea')
  const cyd = await enterSite(t, ann, 'cyd')
  const all = [ann, bea, cyd]
  await until(() => all.every(site => site.membership.state.members.size === 3 && site.presence.neighbours.every(({ connected, beat }) => connected && beat?.digest === site.membership.state.digest)))
  const old = bea.membership.state.digest
  const hear = deafen(bea)
  const peer = cyd.membership.signer.peer
  await cyd.membership.act({ kind: 'leave' })
  await until(() => !ann.membership.state.members.has(peer))
  const fresh = ann.membership.state.digest
  t.not(fresh, old)
  t.is(bea.membership.state.digest, old)
  await until(() => ann.presence.neighbours.some(({ differsForMs = 0 }) => differsForMs > 0))
  const ms = await until(() => waiting(ann, /^bea sees another/).length > 0 && waiting(bea, /^ann sees another/).length > 0, SAID_WITHIN_MS)
  t.true(ms < SAID_WITHIN_MS, `${ms} ms`)
  t.regex(waiting(ann, /^bea sees another/)[0] ?? '', new RegExp(`^bea sees another member set than this node \\(${old.slice(0, 8)}, here ${fresh.slice(0, 8)}\\) since \\d+ s: syncing$`))
  t.regex(waiting(bea, /^ann sees another/)[0] ?? '', new RegExp(`^ann sees another member set than this node \\(${fresh.slice(0, 8)}, here ${old.slice(0, 8)}\\) since \\d+ s: syncing$`))
  hear()
  await until(() => [[ann, /^bea and/], [bea, /^ann and/]].every(([site, who]) => waiting(site as Site, who as RegExp).length > 0), SAID_WITHIN_MS)
  t.is(bea.membership.state.digest, fresh)
  t.is(waiting(ann, /^bea and/)[0], `bea and this node see the same member set again (${fresh.slice(0, 8)})`)
  t.is(waiting(bea, /^ann and/)[0], `ann and this node see the same member set again (${fresh.slice(0, 8)})`)
  for (const site of [ann, bea]) t.is(site.presence.neighbours.find(({ connected }) => connected)?.differsForMs, undefined)
  t.is(waiting(ann, /^bea sees/).length, 1, 'said once, not with every beat')
})

test.serial('a difference that heals at once is not talked about', async t => {
  const ann = await foundSite(t, 'ann')
  const bea = await enterSite(t, ann, 'bea')
  await until(() => [ann, bea].every(site => site.presence.neighbours.every(({ beat }) => beat?.digest === site.membership.state.digest)))
  const cyd = await enterSite(t, bea, 'cyd')
  await until(() => [ann, bea, cyd].every(site => site.presence.neighbours.length === 2 && site.presence.neighbours.every(({ beat }) => beat?.digest === site.membership.state.digest)))
  t.deepEqual([ann, bea, cyd].flatMap(site => waiting(site, /member set/)), [])
})

for (const { id, aheadMs } of [{ id: 'an hour ahead', aheadMs: 3_600_000 }, { id: 'ten minutes behind', aheadMs: -600_000 }]) {
  test.serial(`a clock that is ${id} is measured by its beats, at both ends, and keeps nobody out`, async t => {
    const ann = await foundSite(t, 'ann')
    const bea = await enterSite(t, ann, 'bea')
    await bea.stop()
    const again = await start(t, 'bea', bea.home, bea.membership, { bootstrap: ann.addresses, now: () => Date.now() + aheadMs })
    const skewOf = (site: Site): number | undefined => site.presence.neighbours[0]?.clockSkewMs
    // the first beats that ann remembers are of before the restart
    await until(() => Math.abs((skewOf(ann) ?? 0) - aheadMs) < 5_000 && Math.abs((skewOf(again) ?? 0) + aheadMs) < 5_000)
    t.true(again.presence.neighbours.every(({ connected }) => connected))
    t.is(again.membership.state.digest, ann.membership.state.digest)
    t.deepEqual([ann, again].flatMap(site => waiting(site, /member set/)), [])
  })
}
