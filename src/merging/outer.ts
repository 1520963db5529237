/**
 * The outer step between hosts. Each host trained its own copy of the shared units for R steps from one anchor; at the
 * meeting their deltas become one pseudo-gradient, applied with Nesterov momentum:
 *
 *     d      = mean over hosts, weighted by clients, of (anchor - trunk_h)       (= -delta_h)
 *     v     <- m v + d
 *     anchor <- anchor - a (d + m v)                                             a = 1.0, m = 0.5
 *
 * Two hosts meeting so every 20 steps did as well as one central server; the plain average (m = 0) lost a third to
 * most of the gain (digits, faces). m = .9 did harm. Units are merged one by one over the hosts that have them (another
 * head, another embedder), so shares, clip and cap are per unit. Hosts are sorted by id and sums run in float64: the
 * same set of deltas gives the same bits everywhere. The mean over hosts is what d is unless a rule of ../projection is
 * handed in for one unit (src/training/rules.ts says which, and when); shares are its weights then.
 * Source of the form: DiLoCo, arXiv 2311.08105; figures: the project's own prototypes.
 */
import { InvalidParametersError } from '../errors.ts'
import { combined, dot, norm, over } from '../kernels/index.ts'
import { mean } from '../projection/index.ts'
import { Random } from '../random.ts'
import type { ConflictStats, GradientRule, SolverReport } from '../projection/index.ts'

export type Units = Readonly<Record<string, Float32Array>>

/** Chosen on tuning seeds among .7/.6, .7/.9 and 1/.5 at R = 20. */
export const OUTER_RATE = 1
export const OUTER_MOMENTUM = 0.5
/** One host may hold half of the say at most; below three hosts a cap would only undo the weights. */
export const SHARE_CAP = 0.5
/** Times the median norm: honest hosts differ by less, a tenfold boosted delta does not pass. */
export const CLIP = 3
/** From here on a median and a cap mean something. */
const CROWD = 3

export interface HostDelta {
  readonly id: string
  /** trunk - anchor, per unit; a unit that the host does not have is absent. */
  readonly delta: Units
  /** Its clients, or samples; > 0. */
  readonly weight: number
}

export interface OuterInit {
  anchor: Units
  /** From the last merge; absent units start at zero. */
  velocity?: Units
  deltas: readonly HostDelta[]
  /** a. Default 1. */
  rate?: number
  /** m in [0, 1). Default 0.5. */
  momentum?: number
  /** Largest share of one host where three or more have the unit. Default 0.5; 1 is no cap. */
  shareCap?: number
  /** Deltas longer than this times the median length are scaled down, where three or more have the unit. Default 3; Infinity is off. */
  clip?: number
  /** The unit whose deltas are held against each other. Default: none. */
  between?: Between
}

export interface Between {
  readonly unit: string
  /** Makes one delta of the hosts' deltas. Default: their mean. */
  readonly rule?: GradientRule
  /** Of the rule: seeded alike at every host. */
  readonly random?: Random
  /** Of the rule: what hosts agreed on the last time. */
  readonly history?: Float32Array
}

/** What two or more hosts' deltas of a unit made of each other. */
export interface Met {
  readonly stats: ConflictStats
  /** What the rule made of them; without a rule, their mean. */
  readonly delta: Float32Array
  readonly solver?: SolverReport
}

export interface OuterResult {
  /** The merged units; one that no host sent is unchanged. */
  readonly state: Units
  readonly velocity: Units
  /** d + m v: state = anchor - rate * direction. */
  readonly direction: Units
  readonly accepted: readonly string[]
  readonly rejected: ReadonlyArray<{ readonly id: string, readonly reason: string }>
  /** unit -> host -> share of the mean, after the cap. */
  readonly shares: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** '<host> <unit>' of every delta that was scaled down. */
  readonly clipped: readonly string[]
  /** Where two or more hosts have the unit `between`. */
  readonly met?: Met
}

/**
 * Deltas that are not finite, name units the anchor lacks, or have other lengths are left out and named in `rejected`.
 * @throws {InvalidParametersError} a rate, momentum, cap or clip out of range, a velocity that does not fit, two deltas of one host
 */
export function mergeOuter (init: OuterInit): OuterResult {
  const { anchor, velocity = {} } = init
  const rate = init.rate ?? OUTER_RATE
  const momentum = init.momentum ?? OUTER_MOMENTUM
  const shareCap = init.shareCap ?? SHARE_CAP
  const clip = init.clip ?? CLIP
  if (!(rate > 0 && rate < Infinity)) throw new InvalidParametersError(`outer rate must be positive, got ${rate}`)
  if (!(momentum >= 0 && momentum < 1)) throw new InvalidParametersError(`outer momentum must be in [0, 1), got ${momentum}`)
  if (!(shareCap > 0 && shareCap <= 1)) throw new InvalidParametersError(`share cap must be in (0, 1], got ${shareCap}`)
  if (!(clip > 0)) throw new InvalidParametersError(`clip must be positive, got ${clip}`)
  if (new Set(init.deltas.map((d) => d.id)).size !== init.deltas.length) throw new InvalidParametersError('two deltas of one host')
  for (const [unit, v] of Object.entries(velocity)) {
    if (unitOf(anchor, unit)?.length !== v.length) throw new InvalidParametersError(`velocity of '${unit}' does not fit the anchor`)
  }

  const accepted: HostDelta[] = []
  const rejected: Array<{ id: string, reason: string }> = []
  for (const delta of [...init.deltas].sort((a, b) => a.id < b.id ? -1 : 1)) {
    const reason = fault(delta, anchor)
    if (reason === undefined) accepted.push(delta)
    else rejected.push({ id: delta.id, reason })
  }

  const state: Record<string, Float32Array> = {}
  const nextVelocity: Record<string, Float32Array> = {}
  const direction: Record<string, Float32Array> = {}
  const shares: Record<string, Record<string, number>> = {}
  const clipped: string[] = []
  let met: Met | undefined
  for (const unit of Object.keys(anchor).sort()) {
    const from = anchor[unit] as Float32Array
    const old = unitOf(velocity, unit)
    const hosts = accepted.filter((h) => Object.hasOwn(h.delta, unit))
    if (hosts.length === 0) {
      state[unit] = from.slice()
      nextVelocity[unit] = old?.slice() ?? new Float32Array(from.length)
      direction[unit] = new Float32Array(from.length)
      continue
    }
    const share = capShares(hosts.map((h) => h.weight), hosts.length < CROWD ? 1 : shareCap)
    const rows = hosts.map((h) => h.delta[unit] as Float32Array)
    const norms = rows.map(norm)
    const limit = hosts.length < CROWD ? Infinity : clip * median(norms)
    const scales = norms.map((size, h) => {
      if (size > limit) clipped.push(`${hosts[h]?.id} ${unit}`)
      return size > limit ? limit / size : 1
    })
    if (unit === init.between?.unit && hosts.length > 1) met = meet(init.between, hosts.map(({ id }) => id), rows, share, scales)
    const [parts, factors] = met !== undefined && unit === init.between?.unit && init.between.rule !== undefined
      ? [[met.delta], Float64Array.of(-1)]
      : [rows, Float64Array.from(share, (part, h) => -part * (scales[h] as number))]
    const [to, v, step] = [new Float32Array(from.length), new Float32Array(from.length), new Float32Array(from.length)]
    over(parts, combined(factors, from.length, (d, start) => {
      for (let k = 0; k < d.length; k++) {
        const i = start + k
        const speed = momentum * (old?.[i] ?? 0) + (d[k] as number)
        const move = (d[k] as number) + momentum * speed
        v[i] = speed
        step[i] = move
        to[i] = (from[i] as number) - rate * move
      }
    }))
    state[unit] = to
    nextVelocity[unit] = v
    direction[unit] = step
    shares[unit] = Object.fromEntries(hosts.map((h, i) => [h.id, share[i] as number]))
  }
  return { state, velocity: nextVelocity, direction, accepted: accepted.map((d) => d.id), rejected, shares, clipped, ...met === undefined ? {} : { met } }
}

/** Deltas are descents where gradients ascend: what conflicts is the same, and so is what a rule makes of them, but for the sign. */
function meet ({ rule = mean(), random = new Random(0), history }: Between, ids: readonly string[], rows: readonly Float32Array[], weights: readonly number[], scales: readonly number[]): Met {
  const scaled = rows.map((row, h) => scales[h] === 1 ? row : row.map((value) => value * (scales[h] as number)))
  const { update, stats, solver } = rule.aggregate(scaled, { ids, weights, random, ...history === undefined ? {} : { history } })
  return { stats, delta: update, ...solver === undefined ? {} : { solver } }
}

/**
 * Weights scaled to sum 1 with none above the cap; what is cut off goes to the others in proportion to their weights.
 * A cap below 1 / n cannot hold and means equal shares.
 */
export function capShares (weights: readonly number[], cap: number): number[] {
  const n = weights.length
  if (cap * n <= 1) return new Array<number>(n).fill(1 / n)
  const capped = new Set<number>()
  for (;;) {
    let free = 0
    weights.forEach((w, i) => { if (!capped.has(i)) free += w })
    const left = 1 - cap * capped.size
    const shares = weights.map((w, i) => capped.has(i) ? cap : left * w / free)
    const over = shares.findIndex((s, i) => !capped.has(i) && s > cap)
    if (over < 0) return shares
    capped.add(over)
  }
}

function fault ({ delta, weight }: HostDelta, anchor: Units): string | undefined {
  if (!(weight > 0 && weight < Infinity)) return `weight ${weight} is not a positive number`
  const units = Object.entries(delta)
  if (units.length === 0) return 'no units'
  for (const [unit, values] of units) {
    const want = unitOf(anchor, unit)
    if (want === undefined) return `unit '${unit}' is not in the model`
    if (want.length !== values.length) return `unit '${unit}' has ${values.length} numbers, the model ${want.length}`
    if (!Number.isFinite(dot(values, values))) return `unit '${unit}' holds numbers that are not finite`
  }
  return undefined
}

function unitOf (units: Units, name: string): Float32Array | undefined {
  return Object.hasOwn(units, name) ? units[name] : undefined
}

/** Lower of the two middle values for an even count, so that two colluding hosts among four cannot raise it. */
function median (values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1] as number
}
