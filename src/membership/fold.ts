/**
 * From the set of entries to who is a member: a pure function of the set, so that two nodes with the same entries agree
 * whatever the order in which they came, and whoever was cut off from whom meanwhile.
 *
 * Entries are taken in the order (depth, hash): causes before effects. Decisions (a member is expelled, the charter changed)
 * are settled one turn after the other, and the walk repeated under what is settled:
 *
 *  - Of a revoked member only those entries count that one of the votes against it had seen; whatever else it signs, and
 *    however far it dates that back, is void. Whether there are enough votes is judged with its unseen entries left out, but
 *    for those on which somebody else has built whom the voters knew: they may be the ones who date back.
 *  - A revocation that does not hang on what another one voids goes first; the others are counted again without that.
 *    Revocations that void each other both stand: nobody can say which was first, and what was cut off stays cut off.
 *  - An amendment goes before the votes that had seen it, and after all others. Of several for one version the one with
 *    most voices goes first, then the first in order.
 *  - An invitation's last use that was taken on two sides of a partition belongs to the newcomer on whom more members have
 *    built since, else to the first in order. The other is out, and its admission is in `ignored` with the reason.
 */
import { Ancestry } from './ancestry.ts'
import { Walk } from './walk.ts'
import type { Entry } from './entry.ts'
import type { MembershipState } from './state.ts'
import type { Decision, Settled } from './walk.ts'

export interface Folded {
  readonly walk: Walk
  readonly decisions: readonly Decision[]
  readonly lost: ReadonlySet<string>
}

/** @param entries - complete: whatever one cites is among them; the first in order founds the consortium */
export function fold (entries: readonly Entry[]): MembershipState {
  const ordered = [...entries].sort(inOrder)
  return settle(ordered, new Ancestry(ordered)).walk.state()
}

export function inOrder (a: Entry, b: Entry): number { return a.depth - b.depth || (a.hash < b.hash ? -1 : 1) }

/** @param ordered - complete and in order */
export function settle (ordered: readonly Entry[], ancestry: Ancestry): Folded {
  const decisions: Decision[] = []
  const lost = new Set<string>()
  const votes = votesByTarget(ordered)
  const under = (assumed: ReadonlyMap<string, readonly string[]> = new Map()): Walk => {
    const revoked = decisions.filter(({ kind }) => kind === 'revoke').map(({ subject, votes }): [string, readonly string[]] => [subject, votes])
    const settled: Settled = { decisions, lost, void: new Map([...assumed, ...revoked]) }
    for (;;) {
      const walk = new Walk(ordered, ancestry, settled)
      if (assumed.size > 0 || walk.lost.size === 0) return walk
      for (const hash of walk.lost) lost.add(hash)
    }
  }
  for (;;) {
    const walk = under()
    const decided = [...votes].filter(([peer]) => !decisions.some(({ subject }) => subject === peer))
      .map(([peer, against]) => revocationOf(peer, against, walk))
      .filter(next => next !== undefined)
    const open = decided.filter(({ kind }) => kind === 'revoke')
    const amendment = decided.find(({ kind }) => kind === 'amend') ?? walk.amendments()[0]
    if (open.length > 0) decisions.push(...firm(open))
    else if (amendment !== undefined) decisions.push(amendment)
    else return { walk, decisions, lost }
  }

  /** Whatever the target signed behind the voters' backs must not save it. @returns it, or the amendment that goes before it */
  function revocationOf (peer: string, against: readonly string[], walk: Walk): Decision | undefined {
    const acted = ordered.some(({ by, hash }) => by === peer && !against.some(vote => ancestry.sees(vote, hash)))
    let judged = acted ? under(new Map([[peer, witnesses(peer, against)]])) : walk
    // One against the founder: that it is of when there were two, or that the others were let in behind its back, looks the same.
    if (peer === ordered[0]?.by && judged.revocation(peer)?.voices === 1) judged = walk
    const decision = judged.revocation(peer)
    return judged.amendments().find(amendment => decision?.votes.some(vote => amendment.votes.every(other => ancestry.sees(vote, other)))) ?? decision
  }

  /** Votes, and the last entries of all but the target whom the voters knew. */
  function witnesses (peer: string, against: readonly string[]): string[] {
    const seen = ordered.filter(({ hash }) => against.some(vote => ancestry.sees(vote, hash)))
    const known = new Set([ordered[0]?.by, ...seen.flatMap(entry => entry.kind === 'knock' ? [entry.knock.peer] : [])])
    const last: string[] = [...against]
    for (const { hash, by } of ordered.toReversed()) if (by !== peer && known.has(by) && !last.some(later => ancestry.sees(later, hash))) last.push(hash)
    return last
  }

  function firm (open: readonly Decision[]): readonly Decision[] {
    if (open.length === 1) return open
    const without = under(new Map(open.map(({ subject }) => [subject, witnesses(subject, votes.get(subject) as string[])])))
    const stand = open.map(({ subject }) => without.revocation(subject)).filter(decision => decision !== undefined)
    return stand.length > 0 ? stand : entangled(open, ancestry)
  }
}

/** A walk over these under decisions that followed from some of them. */
export function again (ordered: readonly Entry[], ancestry: Ancestry, { decisions, lost }: Folded): Folded {
  const places = new Map(ordered.map(({ hash }, place) => [hash, place]))
  const moved = decisions.map(decision => ({ ...decision, place: places.get(decision.votes.at(-1) as string) as number }))
  const revoked = decisions.filter(({ kind }) => kind === 'revoke').map(({ subject, votes }): [string, readonly string[]] => [subject, votes])
  return { walk: new Walk(ordered, ancestry, { decisions: moved, lost, void: new Map(revoked) }), decisions, lost }
}

/** Those that void each other, and that no other voids. */
function entangled (open: readonly Decision[], ancestry: Ancestry): Decision[] {
  const voids = (one: Decision, other: Decision): boolean => one !== other && other.voters.some((voter, i) => voter === one.subject && !one.votes.some(vote => ancestry.sees(vote, other.votes[i] as string)))
  const reach = new Map(open.map(decision => {
    const reached = new Set<Decision>([decision])
    for (const one of reached) for (const other of open) if (voids(one, other)) reached.add(other)
    return [decision, reached]
  }))
  const root = open.find(decision => open.every(other => reach.get(other)?.has(decision) !== true || reach.get(decision)?.has(other) === true)) as Decision
  return open.filter(other => reach.get(root)?.has(other) === true && reach.get(other)?.has(root) === true)
}

function votesByTarget (ordered: readonly Entry[]): Map<string, string[]> {
  const votes = new Map<string, string[]>()
  for (const entry of ordered) {
    if (entry.kind !== 'revoke' || entry.by === entry.peer) continue
    const against = votes.get(entry.peer)
    if (against === undefined) votes.set(entry.peer, [entry.hash])
    else against.push(entry.hash)
  }
  return votes
}
