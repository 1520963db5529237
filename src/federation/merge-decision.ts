/**
 * What a host does with the deltas of a meeting. `all`: every host merges the same set by the same rule and gets the same
 * bits. `select`: the attached clients judge each delta on their private hold-outs, an ensemble is chosen by strength and
 * diversity (FedPAE's two objectives, applied to deltas), and the merge is kept unless the clients' paired verdicts speak
 * against it by more than a standard error: a handful of hold-out rows must not veto by noise.
 */
import { selectDeltas } from '../merging/selection.ts'
import type { CandidateScore } from '../backbone/frames.ts'
import type { DeltaEntry, HostTrainer } from '../training/host-trainer.ts'
import type { Remote } from '../compute/remote.ts'

export interface MergeSituation {
  readonly mode: 'all' | 'select'
  readonly own: DeltaEntry
  readonly others: ReadonlyArray<DeltaEntry & { readonly staleness: number }>
  readonly trainer: Remote<HostTrainer>
  readonly evaluate: (candidates: readonly string[]) => Promise<readonly CandidateScore[]>
}

export interface MergeDecision {
  readonly merged: readonly string[]
  readonly reason: string
}

export async function chooseMerge ({ mode, own, others, trainer, evaluate }: MergeSituation): Promise<MergeDecision> {
  await trainer.propose('own')
  if (mode === 'all') {
    const rejected = await trainer.proposeMerge('merged', [own, ...others])
    await trainer.accept('merged')
    return { merged: [own.id, ...others.map(other => other.id)].sort(), reason: ['all hosts by charter', ...rejected].join('; ') }
  }
  for (const other of others) await trainer.propose(other.id, other.units)
  const scores = await evaluate(['own', ...others.map(other => other.id)])
  const lossOf = (candidate: string): number => meanOf(scores.filter(score => score.candidate === candidate).map(score => score.loss))
  const ownLoss = lossOf('own')
  const strength = (candidate: string): number => (ownLoss - lossOf(candidate)) / ownLoss
  const choice = selectDeltas({
    own: own.id,
    candidates: [
      { id: own.id, strength: 0, delta: own.units, weight: own.weight, staleness: 0 },
      ...others.map(other => ({ id: other.id, strength: strength(other.id), delta: other.units, weight: other.weight, staleness: other.staleness }))
    ]
  })
  const chosen = choice.chosen.flatMap(({ id, weight }) => {
    const entry = [own, ...others].find(candidate => candidate.id === id)
    return entry === undefined ? [] : [{ ...entry, weight }]
  })
  if (chosen.length === 1 && chosen[0]?.id === own.id) {
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

/** Mean paired difference over clients, each counting once, and its standard error. */
function pool (scores: readonly CandidateScore[]): { difference: number, standardError: number } {
  const usable = scores.filter(score => Number.isFinite(score.difference))
  if (usable.length === 0) return { difference: 0, standardError: 0 }
  return {
    difference: meanOf(usable.map(score => score.difference)),
    standardError: Math.sqrt(usable.reduce((sum, score) => sum + score.standardError ** 2, 0)) / usable.length
  }
}

function meanOf (values: readonly number[]): number {
  const usable = values.filter(Number.isFinite)
  return usable.length === 0 ? Number.NaN : usable.reduce((sum, value) => sum + value, 0) / usable.length
}
