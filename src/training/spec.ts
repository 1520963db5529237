import { InvalidParametersError } from '../errors.ts'

/** Training settings that every peer of a consortium shares. Defaults are the measured recipe for small image sets. */
export interface TrainingSpec {
  readonly rounds: number
  /** Steps between two deltas, R. */
  readonly stepsPerRound: number
  /** Gradient steps of a client between two contributions, E; only where it holds the whole model. Left out: 1. */
  readonly localSteps?: number
  /** What steps along the gradients of a whole model and of the local baseline. Left out: AdamW. */
  readonly optimiser?: 'sgd'
  /** Rows per client and step. */
  readonly batch: number
  /** Peak learning rates: trunk at the host, parts at the client, everything in a model that is not split. */
  readonly lrTrunk: number
  readonly lrClient: number
  readonly lrLocal: number
  readonly warmup: number
  readonly weightDecay: number
  readonly beta1: number
  readonly beta2: number
  readonly smoothing: number
  /** Augmentation: random shift of pictures by up to this many pixels, edges repeated. */
  readonly shift: number
  /**
   * Steps that a client may have under way at once; unset: 1. With more, the way to the host and back is hidden behind the
   * steps before, at the price of gradients taken at weights that are up to so many steps old.
   */
  readonly inFlight?: number
}

/** A step under way keeps its activations at both ends; at 4, a link of 100 ms is hidden behind steps of 35 ms. */
const MAX_IN_FLIGHT = 4

const DEFAULTS: Omit<TrainingSpec, 'localSteps' | 'optimiser' | 'inFlight'> = {
  rounds: 10,
  stepsPerRound: 20,
  batch: 24,
  lrTrunk: 4e-3,
  lrClient: 1e-3,
  lrLocal: 4e-3,
  warmup: 20,
  weightDecay: 0.3,
  beta1: 0.9,
  beta2: 0.99,
  smoothing: 0,
  shift: 0
}

const KNOWN: readonly string[] = [...Object.keys(DEFAULTS), 'localSteps', 'optimiser', 'inFlight']

/** @throws {InvalidParametersError} an unknown key, or a value that cannot be */
export function parseTrainingSpec (raw: Readonly<Record<string, unknown>>): TrainingSpec {
  const { localSteps = 1, optimiser = 'adamw', ...numbers } = raw
  if (!Number.isInteger(localSteps) || (localSteps as number) < 1) throw new InvalidParametersError(`training.localSteps must be a whole number from 1, got ${String(localSteps)}`)
  if (optimiser !== 'adamw' && optimiser !== 'sgd') throw new InvalidParametersError(`training.optimiser must be adamw or sgd, got ${String(optimiser)}`)
  const spec: Record<string, number> = { ...DEFAULTS }
  for (const [key, value] of Object.entries(numbers)) {
    if (!KNOWN.includes(key)) throw new InvalidParametersError(`training.${key} is not a setting`, { next: `known: ${KNOWN.join(', ')}` })
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw new InvalidParametersError(`training.${key} must be a number from 0, got ${String(value)}`)
    spec[key] = value
  }
  const { inFlight } = spec
  if (inFlight !== undefined && !(Number.isInteger(inFlight) && inFlight >= 1 && inFlight <= MAX_IN_FLIGHT)) {
    throw new InvalidParametersError(`training.inFlight must be a whole number from 1 to ${MAX_IN_FLIGHT}, got ${inFlight}`)
  }
  for (const key of ['rounds', 'stepsPerRound', 'batch']) {
    if (!Number.isInteger(spec[key]) || (spec[key] as number) < 1) throw new InvalidParametersError(`training.${key} must be a whole number from 1, got ${spec[key]}`)
  }
  // What has its default is left out: charters from before these settings keep their hash.
  return { ...spec as unknown as TrainingSpec, ...localSteps === 1 ? {} : { localSteps: localSteps as number }, ...optimiser === 'sgd' ? { optimiser } : {} }
}

/** Steps that a client may have under way at once. */
export function inFlight (spec: TrainingSpec): number { return spec.inFlight ?? 1 }

/** Steps of a host's clock. */
export function totalSteps (spec: TrainingSpec): number { return spec.rounds * spec.stepsPerRound }

/** Gradient steps of a client between two steps of the clock, E. */
export function localStepsOf (spec: TrainingSpec): number { return spec.localSteps ?? 1 }
