/**
 * What a host does with the deltas of a meeting. `all`: every host merges the same set by the same rule and gets the same
 * bits. `select`: the attached clients judge each delta on their private hold-outs, an ensemble is chosen by strength and
 * diversity (FedPAE's two objectives, applied to deltas), and the merge is kept unless the clients' paired verdicts speak
 * against it by more than a standard error: a handful of hold-out rows must not veto by noise.
 */
import { selectDeltas } from '../merging/selection.ts'
import type { CandidateScore } from '../backbone/frames.ts'
import type { DeltaEntry, HostTrainer } from '../training/host-trainer.ts'
import type { Random } from '../random.ts'
import type { Remote } from '../compute/remote.ts'

export interface MergeSituation {
  readonly mode: 'all' | 'select'
  readonly own: DeltaEntry
  readonly others: ReadonlyArray<DeltaEntry & { readonly staleness: number }>
  readonly trainer: Remote<HostTrainer>
  /** For a search among many hosts' deltas. */
  readonly random: Random
  /** Verdicts of the attached clients: paired with 'anchor', the round's start; that on 'merged' with 'own'. */
  readonly evaluate: (candidates: readonly string[]) => Promise<readonly CandidateScore[]>
}

export interface MergeDecision {
  readonly merged: readonly string[]
  readonly reason: string
}

export async function chooseMerge ({ mode, own, others, trainer, random, evaluate }: MergeSituation): Promise<MergeDecision> {
  await trainer.propose('own')
  if (mode === 'all') {
    const rejected = await trainer.proposeMerge('merged', [own, ...others])
    await trainer.accept('merged')
    return { merged: [own.id, ...others.map(other => other.id)].sort(), reason: ['all hosts by charter', ...rejected].join('; ') }
  }
  await trainer.propose('anchor', {})
  for (const other of others) await trainer.propose(other.id, other.units)
  const scores = await evaluate(['anchor', 'own', ...others.map(other => other.id)])
  const strengthOf = (candidate: string): number => {
    const { difference, standardError, loss } = pool(scores.filter(score => score.candidate === candidate))
    // Optimistic by one standard error: a delta is left out on evidence against it, not for want of evidence.
    return (standardError - difference) / (loss - difference)
  }
  const choice = selectDeltas({
    random,
    candidates: [
      { id: own.id, strength: strengthOf('own'), delta: own.units, weight: own.weight, staleness: 0, own: true },
      ...others.map(other => ({ id: other.id, strength: strengthOf(other.id), delta: other.units, weight: other.weight, staleness: other.staleness }))
    ]
  })
  const chosen = choice.ids.flatMap((id, i) => {
    const entry = [own, ...others].find(candidate => candidate.id === id)
    return entry === undefined ? [] : [{ id, units: entry.units, weight: choice.weights[i] as number }]
  })
  if (chosen.every(entry => entry.id === own.id)) {
    await trainer.accept('own')
    return { merged: [own.id], reason: choice.reason }
  }
  await trainer.proposeMerge('merged', chosen)
  const verdict = pool((await evaluate(['merged'])).filter(score => score.candidate === 'merged'))
  const kept = !(verdict.difference > verdict.standardError)
  await trainer.accept(kept ? 'merged' : 'own')
  const numbers = `hold-out loss ${verdict.difference >= 0 ? '+' : ''}${verdict.difference.toFixed(4)} +- ${verdict.standardError.toFixed(4)} against own`
  return {
    merged: kept ? chosen.map(entry => entry.id).sort() : [own.id],
    reason: `${choice.reason}; merge ${kept ? 'kept' : 'turned down'}: ${numbers}`
  }
}

/** Mean loss and mean paired difference over clients, each counting once, and the difference's standard error. */
function pool (scores: readonly CandidateScore[]): { loss: number, difference: number, standardError: number } {
  const usable = scores.filter(score => Number.isFinite(score.difference))
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
