/**
 * Which hosts' deltas go into a merge: a small ensemble that is strong and diverse, as FedPAE picks models.
 *
 *     strength(E)   mean over E of  s_i 0.5^staleness_i,  s_i = relative drop of the hold-out loss with delta i
 *     diversity(E)  mean over pairs of 1 - cosine(delta_i, delta_j); 0 for one delta
 *     per size k    front = subsets that no other beats in both
 *     answer        argmax over the fronts of  strength(E) sqrt(k_eff),  k_eff = k / (1 + (k - 1) c)
 *
 * with c = 1 - diversity, kept in [0, 1]: k_eff is the number of independent deltas that the k are worth, and the noise of
 * their mean falls with its root. So a near copy adds nothing, an unrelated delta of equal strength is taken (x 1.41),
 * and one that is much weaker is not worth its noise. Evaluating every subset on the hold-outs instead would cost
 * a round trip to all clients per subset. The cosine of two deltas is taken over the units that both have, 0 without any.
 * Peers' deltas that do not lower the loss are left out; the own delta stands alone if no candidate lowers it. Ties: smaller, then stronger, then ids.
 * Source of the form: FedPAE, arXiv 2410.14075; the score and the discount are this project's.
 */
import { paretoFront } from '../ensemble/nsga2.ts'
import { InvalidParametersError } from '../errors.ts'
import { dot } from '../kernels/index.ts'
import type { Units } from './outer.ts'
import type { Subset } from '../ensemble/nsga2.ts'
import type { Random } from '../random.ts'

/** A delta one round old still starts from nearly the same trunk; after four its say is a sixteenth. */
export const STALENESS_DISCOUNT = 0.5
/** More members change the score by less than the hold-outs can tell. */
export const MAX_MEMBERS = 5

export interface DeltaCandidate {
  readonly id: string
  /** (loss before - loss with this delta) / loss before, over the attached clients' hold-outs; > 0 helps. */
  readonly strength: number
  readonly delta: Float32Array | Units
  /** Rounds since this delta was taken; 0 is this round's. */
  readonly staleness: number
  /** The host's own delta. */
  readonly own?: boolean
  /** Its say before the discount: clients, or samples. Default 1. */
  readonly weight?: number
}

export interface SelectDeltasInit {
  candidates: readonly DeltaCandidate[]
  /** Per round of staleness, in (0, 1]. Default 0.5. */
  discount?: number
  /** Default 5. */
  maxMembers?: number
  /** Used only where there are too many subsets to try them all. */
  random: Random
}

export interface DeltaSelection {
  /** Sorted. Empty if nothing helps and there is no own delta. */
  readonly ids: readonly string[]
  /** Beside `ids`, sum 1: weight x discount^staleness. */
  readonly weights: readonly number[]
  readonly strength: number
  readonly diversity: number
  readonly left: ReadonlyArray<{ readonly id: string, readonly reason: string }>
  readonly reason: string
}

/** @throws {InvalidParametersError} two candidates of one id, a discount or a number of members out of range */
export function selectDeltas (init: SelectDeltasInit): DeltaSelection {
  const discount = init.discount ?? STALENESS_DISCOUNT
  const maxMembers = init.maxMembers ?? MAX_MEMBERS
  if (!(discount > 0 && discount <= 1)) throw new InvalidParametersError(`staleness discount must be in (0, 1], got ${discount}`)
  if (!(Number.isInteger(maxMembers) && maxMembers >= 1)) throw new InvalidParametersError(`${maxMembers} is not a number of members`)
  if (new Set(init.candidates.map((c) => c.id)).size !== init.candidates.length) throw new InvalidParametersError('two candidates share one id')

  const left: Array<{ id: string, reason: string }> = []
  const usable: Prepared[] = []
  for (const candidate of [...init.candidates].sort((a, b) => a.id < b.id ? -1 : 1)) {
    const units = candidate.delta instanceof Float32Array ? { '': candidate.delta } : candidate.delta
    const square = product(units, units)
    const weight = candidate.weight ?? 1
    const why = !Number.isFinite(square)
      ? 'its delta is not finite'
      : !(weight > 0 && weight < Infinity && candidate.staleness >= 0)
          ? 'its weight or staleness is no usable number'
          : candidate.own === true
            ? undefined
            : !(candidate.strength > 0)
                ? `it does not lower the hold-out loss (${candidate.strength})`
                : square === 0 ? 'its delta is zero' : undefined
    if (why !== undefined) {
      left.push({ id: candidate.id, reason: why })
      continue
    }
    const fade = discount ** candidate.staleness
    usable.push({ id: candidate.id, own: candidate.own === true, units, strength: candidate.strength * fade, weight: weight * fade })
  }
  // an own delta of unknown or negative strength may be merged alone; it must not be carried by the others
  const strong = usable.filter((c) => c.strength > 0)
  if (strong.length === 0) {
    const own = usable.filter((c) => c.own)
    const reason = own.length > 0
      ? `the own delta alone: none of ${init.candidates.length - own.length} others lowers the hold-out loss`
      : `nothing: none of ${init.candidates.length} candidates lowers the hold-out loss`
    return { ...describe(own, own.map((_, i) => i), []), left, reason }
  }

  const cosine = strong.map((a) => strong.map((b) => cosineOf(a.units, b.units)))
  const n = strong.length
  const evaluate = (subset: Subset): [number, number] => [strengthOf(strong, subset), diversityOf(cosine, subset)]
  let best: { subset: Subset, score: number, strength: number } | undefined
  for (let size = 1; size <= Math.min(maxMembers, n); size++) {
    for (const subset of paretoFront({ models: n, lo: size, hi: size, evaluate, random: init.random })) {
      const [strength, diversity] = evaluate(subset)
      const score = strength * Math.sqrt(size / (1 + (size - 1) * Math.min(1, Math.max(0, 1 - diversity))))
      // sizes ascend and subsets come in the order of their ids, so that only a real gain replaces the best
      const gain = best === undefined ? Infinity : score - best.score
      if (best === undefined || gain > SAME * Math.abs(best.score) || (subset.length === best.subset.length && Math.abs(gain) <= SAME * Math.abs(best.score) && strength > best.strength)) {
        best = { subset, score, strength }
      }
    }
  }
  const selection = describe(strong, best?.subset ?? [], cosine)
  const members = selection.ids.map((id, i) => `${id} ${(100 * (selection.weights[i] as number)).toFixed(0)} %`).join(', ')
  return {
    ...selection,
    left,
    reason: `${selection.ids.length} of ${init.candidates.length} deltas (${members}): strength ${selection.strength.toFixed(4)}, diversity ${selection.diversity.toFixed(3)}, score ${(best?.score ?? 0).toFixed(4)}`
  }
}

/** Scores closer than this, relatively, are one score: rounding must not prefer the larger ensemble. */
const SAME = 1e-9

interface Prepared {
  readonly id: string
  readonly own: boolean
  readonly units: Units
  /** After the discount, as `weight`. */
  readonly strength: number
  readonly weight: number
}

function describe (list: readonly Prepared[], subset: Subset, cosine: ReadonlyArray<readonly number[]>): Pick<DeltaSelection, 'ids' | 'weights' | 'strength' | 'diversity'> {
  const members = subset.map((i) => list[i] as Prepared)
  const total = members.reduce((sum, m) => sum + m.weight, 0)
  return {
    ids: members.map((m) => m.id),
    weights: members.map((m) => m.weight / total),
    strength: members.length === 0 ? 0 : strengthOf(list, subset),
    diversity: diversityOf(cosine, subset)
  }
}

function strengthOf (list: readonly Prepared[], subset: Subset): number {
  return subset.reduce((sum, i) => sum + (list[i] as Prepared).strength, 0) / subset.length
}

function diversityOf (cosine: ReadonlyArray<readonly number[]>, subset: Subset): number {
  if (subset.length < 2) return 0
  let sum = 0
  subset.forEach((a, at) => subset.slice(0, at).forEach((b) => { sum += 1 - (cosine[a]?.[b] as number) }))
  return sum / (subset.length * (subset.length - 1) / 2)
}

function cosineOf (a: Units, b: Units): number {
  const shared = (of: Units, other: Units): Units => Object.fromEntries(Object.entries(of).filter(([unit, data]) => Object.hasOwn(other, unit) && other[unit]?.length === data.length))
  const [left, right] = [shared(a, b), shared(b, a)]
  const sizes = Math.sqrt(product(left, left) * product(right, right))
  return sizes > 0 ? product(left, right) / sizes : 0
}

/** Over units sorted by name, so that the same deltas give the same bits at every host. */
function product (a: Units, b: Units): number {
  return Object.keys(a).sort().reduce((sum, unit) => sum + dot(a[unit] as Float32Array, b[unit] as Float32Array), 0)
}
