/** Random histories: logs that are cut off from each other, members who act on any of them, forks from old heads, exchanges of what chance picks. */
import { fc } from '@fast-check/ava'
import { FmtlError } from '../../src/errors.ts'
import { createConsortium, writeEntry, writeKnock } from '../../src/membership/index.ts'
import { DAY, NOW, copy, enter, found, signer, training } from './helpers.ts'
import type { Act, Entry, Governance, MemberLog, Signer } from '../../src/membership/index.ts'

export const PEOPLE: readonly Signer[] = ['ann', 'bea', 'cyd', 'dov', 'eve', 'fay'].map(signer)
const KINDS = ['invite', 'knock', 'admit', 'revoke', 'revoke', 'revoke', 'revoke', 'leave', 'withdraw', 'amend', 'approve', 'exchange', 'exchange'] as const

export interface Step { readonly site: number, readonly other: number, readonly by: number, readonly whom: number, readonly kind: typeof KINDS[number], readonly fork: boolean, readonly pick: number }

export const step: fc.Arbitrary<Step> = fc.record({
  site: fc.nat(2),
  other: fc.nat(2),
  // mostly those who are members from the start, and mostly against two of them: otherwise no vote ever has a quorum
  by: fc.oneof({ weight: 4, arbitrary: fc.nat(2) }, fc.nat(5)),
  whom: fc.oneof({ weight: 2, arbitrary: fc.integer({ min: 1, max: 2 }) }, fc.nat(5)),
  kind: fc.constantFrom(...KINDS),
  fork: fc.nat(3).map(n => n === 0),
  pick: fc.nat(1 << 20)
})
export const steps = fc.array(step, { minLength: 5, maxLength: 24 })
export const governance: fc.Arbitrary<Partial<Governance>> = fc.record({
  admission: fc.constantFrom('link', 'member', 'second-member'),
  quorum: fc.constantFrom<'majority' | number>('majority', 'majority', 1, 2)
})

/** Three sites with the same founding members, and what chance makes of them. */
export async function live (history: readonly Step[], rules: Partial<Governance>, founders = 3): Promise<MemberLog[]> {
  const first = await found(PEOPLE[0] as Signer, rules)
  for (const newcomer of PEOPLE.slice(1, founders)) await enter(first, PEOPLE[0] as Signer, newcomer).catch(refused)
  const sites = [first, copy(first), copy(first)]
  for (const one of history) await walk(sites, one)
  return sites
}

async function walk (sites: readonly MemberLog[], { site, other, by, whom, kind, fork, pick }: Step): Promise<void> {
  const log = sites[site] as MemberLog
  if (kind === 'exchange') {
    const page = shuffled((sites[other] as MemberLog).entries(), pick).filter((_, i) => (pick >>> (i % 20) & 1) === 1)
    log.add(page.map(({ bytes }) => bytes))
    return
  }
  const author = PEOPLE[by] as Signer
  const what = await actOf(log, kind, PEOPLE[whom] as Signer, pick)
  if (what === undefined) return
  if (fork) log.add([(await forked(log, author, what, pick)).bytes])
  else await log.append(author, what, NOW).catch(refused)
}

/** An entry of one who pretends to have seen no more than one or two old ones. */
export async function forked (log: MemberLog, author: Signer, what: Act, pick: number): Promise<Entry> {
  const entries = log.entries()
  const heads = [...new Set([entries[pick % entries.length], entries[(pick >>> 7) % entries.length]])] as Entry[]
  return await writeEntry(author, what, NOW, heads)
}

async function actOf (log: MemberLog, kind: Exclude<Step['kind'], 'exchange'>, whom: Signer, pick: number): Promise<Act | undefined> {
  const { charter, charterHash, invitations, proposals } = log.state
  const invitation = [...invitations.keys()][pick % Math.max(1, invitations.size)]
  switch (kind) {
    case 'invite': return { kind, key: whom.peer, role: pick % 4 === 0 ? 'client' : 'member', from: NOW, until: NOW + DAY + pick, uses: 1 + pick % 2 }
    case 'knock': return invitation === undefined ? undefined : { kind, knock: await writeKnock(whom, { net: log.id, charter: charterHash, invite: invitation, name: 'site' }) }
    case 'withdraw': return invitation === undefined ? undefined : { kind, invite: invitation }
    case 'admit': return { kind, peer: whom.peer }
    case 'revoke': return { kind, peer: whom.peer, reason: 'chance' }
    case 'leave': return { kind }
    case 'amend': return { kind, charter: { ...createConsortium({ name: `charter ${pick % 3}`, training, governance: charter.governance }), version: charter.version + 1 } }
    case 'approve': return proposals[0] === undefined ? undefined : { kind, amendment: proposals[0].amendment }
  }
}

export function shuffled<T> (list: readonly T[], seed: number): T[] {
  return list.map((value, i): [number, T] => [Math.imul(seed ^ (i + 1), 0x9e3779b1) >>> 0, value]).sort(([a], [b]) => a - b).map(([, value]) => value)
}

function refused (cause: unknown): void { if (!(cause instanceof FmtlError)) throw cause }

/** Everybody asks everybody whose heads differ, until nothing is new. */
export function exchangeAll (sites: readonly MemberLog[]): number {
  for (let round = 1; round < 20; round++) {
    const before = JSON.stringify(sites.map(({ heads }) => heads))
    for (const from of sites) for (const to of sites) if (from.heads.join() !== to.heads.join()) to.add(from.after(to.heads).map(({ bytes }) => bytes))
    if (JSON.stringify(sites.map(({ heads }) => heads)) === before) return round
  }
  return Infinity
}

/** All of a state that two nodes must agree on. */
export function told (log: MemberLog): unknown {
  const { ignored: _, ...state } = log.state
  return { heads: log.heads, size: log.size, ...state }
}
