/** Members as processes would have them, in this one: a home, a libp2p node behind the gate, and its presence. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import { Membership } from '../../../node/membership/membership.ts'
import { Presence } from '../../../node/membership/presence.ts'
import { components } from '../../../node/components.ts'
import { createConsortium, decodeLink } from '../../../src/membership/index.ts'
import { createNode } from '../../../node/libp2p.ts'
import { gateOf } from '../../../node/membership/gate.ts'
import { invite } from '../../../node/membership/acts.ts'
import { join } from '../../../node/membership/join.ts'
import { seededIdentity, signerOf } from '../../../node/store/identity.ts'
import { training } from '../../membership/helpers.ts'
import type { ExecutionContext } from 'ava'
import type { Governance, InviteLink } from '../../../src/membership/index.ts'
import type { InviteInit } from '../../../node/membership/acts.ts'
import type { JoinInit } from '../../../node/membership/join.ts'
import type { Node } from '../../../node/libp2p.ts'
import type { NodeEvent } from '../../../node/events.ts'

export interface Site {
  readonly name: string
  readonly home: string
  readonly membership: Membership
  readonly node: Node
  readonly presence: Presence
  readonly events: NodeEvent[]
  readonly addresses: readonly string[]
  stop (): Promise<void>
}

const running = new WeakMap<ExecutionContext, Site[]>()

export async function temporaryHome (t: ExecutionContext): Promise<string> {
  const home = await mkdtemp(path(tmpdir(), 'fmtl-members-'))
  t.teardown(async () => { await rm(home, { recursive: true, force: true }) })
  return home
}

export async function foundSite (t: ExecutionContext, name: string, governance: Partial<Governance> = {}): Promise<Site> {
  const home = await temporaryHome(t)
  const privateKey = await seededIdentity(1, name)
  const membership = await Membership.found(home, signerOf(privateKey), createConsortium({ name: 'Heart consortium', training, governance }), name)
  return await start(t, name, home, membership)
}

/** A running member of the consortium in its home. */
export async function start (t: ExecutionContext, name: string, home: string, membership: Membership, { bootstrap = [], everyMs = 500, now = Date.now }: { bootstrap?: readonly string[], everyMs?: number, now?: () => number } = {}): Promise<Site> {
  const events: NodeEvent[] = []
  const node = await createNode({
    privateKey: await seededIdentity(1, name),
    profile: 'testnet',
    networkKey: membership.networkKey,
    gate: gateOf(membership),
    onRefused: (peer, address, reason) => { events.push({ type: 'peer:refused', node: name, peer, address, reason }) }
  })
  const addresses = node.getMultiaddrs().map(String)
  const presence = new Presence(node, components(node, membership), {
    name, consortium: `test-${membership.id.slice(0, 32)}`, membership, everyMs, addresses: () => addresses, round: () => 0, emit: event => { events.push(event) }, now
  })
  await presence.start(bootstrap)
  let stopped: Promise<void> | undefined
  const site: Site = { name, home, membership, node, presence, events, addresses, stop: async () => { await (stopped ??= (async () => { await presence.stop(); await node.stop() })()) } }
  t.teardown(site.stop)
  running.set(t, [...running.get(t) ?? [], site])
  return site
}

export async function linkOf (site: Site, init: Partial<InviteInit> = {}, now = Date.now()): Promise<InviteLink> {
  const { link } = await invite(site.membership, { role: 'member', expiresMs: 3_600_000, uses: 1, addresses: site.addresses, ...init }, now)
  return decodeLink(link)
}

export async function knockWith (t: ExecutionContext, name: string, link: InviteLink, init: Partial<JoinInit> = {}): Promise<{ membership: Membership, addresses: readonly string[] }> {
  return await join({
    home: await temporaryHome(t),
    privateKey: await seededIdentity(1, name),
    link,
    name,
    consent: async () => {},
    waitMs: 10_000,
    onWaiting: () => {},
    signal: AbortSignal.timeout(20_000),
    now: Date.now,
    ...init
  })
}

/** Knocks, is admitted by `host`, and runs. */
export async function enterSite (t: ExecutionContext, host: Site, name: string, init: Partial<InviteInit> = {}): Promise<Site> {
  const joining = knockWith(t, name, await linkOf(host, init))
  await until(() => host.membership.state.pending.size > 0 || host.membership.state.charter.governance.admission === 'link')
  for (const { knock: { peer } } of [...host.membership.state.pending.values()]) await host.membership.act({ kind: 'admit', peer })
  const { membership, addresses } = await joining
  return await start(t, name, membership.store.home, membership, { bootstrap: addresses })
}

/** Polls, as what is awaited may come from any of several nodes. */
export async function until (fact: () => boolean, withinMs = 10_000): Promise<number> {
  const startedAt = performance.now()
  while (!fact()) {
    if (performance.now() - startedAt > withinMs) throw new Error(`not so within ${withinMs} ms: ${fact}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  return performance.now() - startedAt
}
