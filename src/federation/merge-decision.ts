/**
 * What a host does with the deltas of a meeting. `all`: every host merges the same set by the same rule and gets the same
 * bits. `select`: the attached clients judge, on their private hold-outs, each peer's delta merged into their host's; deltas with evidence against
 * them are left out, among many the strong and diverse ones are taken (FedPAE's two objectives, applied to deltas), and the
 * merge is kept unless the clients' paired verdicts speak against it. Merging is the default and is left on evidence only:
 * a handful of hold-out rows must not veto by noise, and a host's own delta always looks better than a peer's to clients
 * whose heads have trained with it. Where the charter has a rule for deltas, what it makes of the same deltas is one candidate
 * more and the first choice, left for their mean on evidence too.
 */
import { MAX_MEMBERS, STALENESS_DISCOUNT, selectDeltas } from '../merging/selection.ts'
import type { CandidateScore } from '../backbone/frames.ts'
import type { Accepted, DeltaEntry, HostTrainer } from '../training/host-trainer.ts'
import type { Random } from '../random.ts'
import type { Remote } from '../compute/remote.ts'

/**
 * Standard errors of a paired difference that count as evidence. Choosing by the plain means lost .018 of federated
 * accuracy against merging everything (digits, seeds 50-52, 20 hold-out rows a host).
 */
const EVIDENCE = 2

export interface MergeSituation {
  readonly mode: 'all' | 'select'
  readonly round: number
  /** The charter's rule for hosts' deltas. */
  readonly rule?: string
  readonly own: DeltaEntry
  readonly others: ReadonlyArray<DeltaEntry & { readonly staleness: number }>
  readonly trainer: Remote<HostTrainer>
  /** For a search among many hosts' deltas. */
  readonly random: Random
  /** Verdicts of the attached clients, paired row by row with 'own'. */
  readonly evaluate: (candidates: readonly string[]) => Promise<readonly CandidateScore[]>
}

export interface MergeDecision extends Accepted {
  /** The candidate that became the state. */
  readonly accepted: string
  /** Whose deltas are in it, and how much each counted. */
  readonly taken: ReadonlyArray<Pick<DeltaEntry, 'id' | 'weight'>>
  readonly reason: string
}

export async function chooseMerge ({ mode, round, rule, own, others, trainer, random, evaluate }: MergeSituation): Promise<MergeDecision> {
  await trainer.propose('own')
  if (mode === 'all') {
    const { rejected, without } = await trainer.proposeMerge('merged', [own, ...others], rule === undefined ? undefined : round)
    const taken = [own, ...others].filter(({ id }) => rejected.every(host => host.id !== id))
    return await settle('merged', taken, [`all hosts by charter${rule === undefined ? '' : ` and ${rule}`}`, ...without === undefined ? [] : [without], ...rejected.map(({ id, reason }) => `${id}: ${reason}`)].join('; '))
  }
  for (const other of others) await trainer.proposeMerge(other.id, [own, discounted(other)])
  const scores = await evaluate(['own', ...others.map(other => other.id)])
  const verdicts = others.map(other => ({ other, ...pool(scores, other.id) }))
  const helpful = verdicts.filter(verdict => !speaksAgainst(verdict))
  const peers = helpful.length < MAX_MEMBERS ? helpful.map(({ other }) => other) : strongest(helpful, random)
  const why = `hold-out loss with each peer's delta against without: ${verdicts.map(verdict => `${verdict.other.id} ${inWords(verdict)}`).join(', ')}`
  const first = peers[0]
  if (first === undefined) return await settle('own', [own], why)
  if (peers.length === 1 && rule === undefined) return await settle(first.id, [own, discounted(first)], why)
  // The own delta stays in: this host's clients have trained with it.
  const members = [own, ...peers.map(discounted)]
  const mean = peers.length === 1 ? first.id : 'merged'
  if (mean === 'merged') await trainer.proposeMerge('merged', members)
  const { without } = rule === undefined ? {} : await trainer.proposeMerge(PROJECTED, members, round)
  const judged = [...scores, ...await evaluate([...mean === 'merged' ? [mean] : [], ...rule === undefined ? [] : [PROJECTED]])]
  const plain = pool(judged, mean)
  const said = [why]
  if (rule !== undefined) {
    const projected = pool(judged, PROJECTED)
    const kept = !speaksAgainst(projected) && !speaksAgainst(against(projected, plain))
    said.push(`by ${rule} ${inWords(projected)}, their mean ${inWords(plain)}: ${kept ? 'kept' : 'turned down'}`, ...without === undefined ? [] : [without])
    if (kept) return await settle(PROJECTED, members, said.join('; '))
  }
  const kept = !speaksAgainst(plain)
  if (mean === 'merged') said.push(`all of them ${inWords(plain)}: ${kept ? 'kept' : 'turned down'}`)
  return await settle(kept ? mean : 'own', kept ? members : [own], said.join('; '))

  async function settle (accepted: string, taken: MergeDecision['taken'], reason: string): Promise<MergeDecision> {
    return { accepted, taken, reason, ...await trainer.accept(accepted) }
  }
}

/** The candidate that the charter's rule for deltas makes. */
const PROJECTED = 'projected'

interface Verdict {
  readonly loss: number
  readonly difference: number
  readonly standardError: number
}

type Peer = MergeSituation['others'][number]

function speaksAgainst ({ difference, standardError }: Verdict): boolean { return difference > EVIDENCE * standardError }

/** How much worse one candidate is than another. Both were paired with 'own' alone: their errors are added as if they had nothing in common. */
function against (one: Verdict, other: Verdict): Verdict {
  return { loss: one.loss, difference: one.difference - other.difference, standardError: Math.hypot(one.standardError, other.standardError) }
}

function inWords ({ difference, standardError }: Verdict): string {
  return `${difference >= 0 ? '+' : ''}${difference.toFixed(4)} +- ${standardError.toFixed(4)}`
}

/** A stale delta counts less; it started from a trunk of some rounds ago. */
function discounted ({ id, units, weight, staleness }: Peer): DeltaEntry {
  return { id, units, weight: weight * STALENESS_DISCOUNT ** staleness }
}

/** Of many peers' deltas the strong and diverse ones, by FedPAE's two objectives. */
function strongest (verdicts: ReadonlyArray<Verdict & { readonly other: Peer }>, random: Random): readonly Peer[] {
  const { ids } = selectDeltas({
    random,
    maxMembers: MAX_MEMBERS - 1,
    candidates: verdicts.map(({ other, loss, difference, standardError }) => ({
      id: other.id,
      // Optimistic by the same margin that evidence needs.
      strength: (EVIDENCE * standardError - difference) / (loss - difference),
      delta: other.units,
      weight: other.weight,
      staleness: other.staleness
    }))
  })
  return verdicts.flatMap(({ other }) => ids.includes(other.id) ? [other] : [])
}

/** Mean loss and mean paired difference over clients, each counting once, and the difference's standard error. */
function pool (scores: readonly CandidateScore[], candidate: string): Verdict {
  const usable = scores.filter(score => score.candidate === candidate && Number.isFinite(score.difference))
  if (usable.length === 0) return { loss: 1, difference: 0, standardError: 0 }
  return {
    loss: meanOf(usable.map(score => score.loss)),
    difference: meanOf(usable.map(score => score.difference)),
    standardError: Math.sqrt(usable.reduce((sum, score) => sum + score.standardError ** 2, 0)) / usable.length
  }
}

function meanOf (values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
