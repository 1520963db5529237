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
  /** Weight of the pull of a whole model's shared units to the values that all agreed on, mu of FedProx. Left out: 0. */
  readonly proximal?: number
  /**
   * A second whole model at every site, which stays there and is what the site serves. ditto: trained beside the agreed one
   * and pulled to it; pfedme: trained in front of the site's copy of the agreed one, which follows. Left out: none.
   */
  readonly personal?: 'ditto' | 'pfedme'
  /**
   * Every site's model stays its own: the host makes an anchor for each from the models that are like it, with this weight
   * for one at no distance (alphaK of FedAMP). Left out: one model for all.
   */
  readonly attention?: number
  /** Squared distance at which attention has fallen to 1 / e. Left out: the median of the step. */
  readonly sigma?: number
  /** Weight of the pull between the two, lambda; with attention it is lambda / alphaK to the anchor. Left out: 0. */
  readonly pull?: number
  /**
   * Peak rate of the personal model, which then goes plain steps without decay, as the papers' do, and not those of the
   * whole model and the local baseline. Left out: it steps as they do.
   */
  readonly lrPersonal?: number
  /** Steps of pfedme's personal model per batch, K. Left out: 1. */
  readonly innerSteps?: number
  /** What the host multiplies the mean of whole models' changes with, beta of pFedMe. Left out: 1. */
  readonly serverRate?: number
  /**
   * Nesterov momentum of the host on the mean of whole models' changes (FedAvgM, Hsu et al., arXiv 1909.06335, in the form of
   * Sutskever et al. 2013). Left out: 0.
   */
  readonly serverMomentum?: number
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
export const MAX_IN_FLIGHT = 4

type Optional = 'localSteps' | 'optimiser' | 'proximal' | 'personal' | 'attention' | 'sigma' | 'pull' | 'lrPersonal' | 'innerSteps' | 'serverRate' | 'serverMomentum' | 'inFlight'

const DEFAULTS: Omit<TrainingSpec, Optional> = {
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

/** Settings that a charter leaves out where they have these values: charters from before them keep their hash. */
const LEFT_OUT = { localSteps: 1, innerSteps: 1, proximal: 0, attention: 0, sigma: 0, pull: 0, lrPersonal: 0, serverRate: 1, serverMomentum: 0 } as const
const KNOWN: readonly string[] = [...Object.keys(DEFAULTS), ...Object.keys(LEFT_OUT), 'optimiser', 'personal', 'inFlight']
const PERSONAL: ReadonlyArray<NonNullable<TrainingSpec['personal']>> = ['ditto', 'pfedme']

/** @throws {InvalidParametersError} an unknown key, or a value that cannot be */
export function parseTrainingSpec (raw: Readonly<Record<string, unknown>>): TrainingSpec {
  const { optimiser = 'adamw', personal, ...numbers } = raw
  if (optimiser !== 'adamw' && optimiser !== 'sgd') throw new InvalidParametersError(`training.optimiser must be adamw or sgd, got ${String(optimiser)}`)
  if (personal !== undefined && !(PERSONAL as readonly unknown[]).includes(personal)) throw new InvalidParametersError(`training.personal must be ${PERSONAL.join(' or ')}, got ${String(personal)}`)
  const spec: Record<string, number> = { ...DEFAULTS, ...LEFT_OUT }
  for (const [key, value] of Object.entries(numbers)) {
    if (!KNOWN.includes(key)) throw new InvalidParametersError(`training.${key} is not a setting`, { next: `known: ${KNOWN.join(', ')}` })
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw new InvalidParametersError(`training.${key} must be a number from 0, got ${String(value)}`)
    spec[key] = value
  }
  const { inFlight } = spec
  if (inFlight !== undefined && !(Number.isInteger(inFlight) && inFlight >= 1 && inFlight <= MAX_IN_FLIGHT)) {
    throw new InvalidParametersError(`training.inFlight must be a whole number from 1 to ${MAX_IN_FLIGHT}, got ${inFlight}`)
  }
  for (const key of ['rounds', 'stepsPerRound', 'batch', 'localSteps', 'innerSteps']) {
    if (!Number.isInteger(spec[key]) || (spec[key] as number) < 1) throw new InvalidParametersError(`training.${key} must be a whole number from 1, got ${spec[key]}`)
  }
  for (const [key, value] of Object.entries(LEFT_OUT)) if (spec[key] === value) Reflect.deleteProperty(spec, key)
  const parsed: TrainingSpec = { ...spec as unknown as TrainingSpec, ...optimiser === 'sgd' ? { optimiser } : {}, ...personal === undefined ? {} : { personal: personal as 'ditto' | 'pfedme' } }
  refuseMisfits(parsed)
  return parsed
}

/** Settings of one method beside another's, where they would do nothing or harm. @throws {InvalidParametersError} */
function refuseMisfits ({ personal, attention, sigma, pull = 0, lrPersonal, innerSteps, proximal, serverRate, serverMomentum = 0, lrLocal }: TrainingSpec): void {
  const refuse = (why: string, next: string): never => { throw new InvalidParametersError(why, { next }) }
  if (serverRate === 0) refuse('training.serverRate 0 would leave the agreed model as it began', 'set it above 0, or leave it out for the plain mean')
  if (serverMomentum >= 1) refuse(`training.serverMomentum must be below 1, got ${serverMomentum}`, 'with 1 a change would never fade')
  if (attention === undefined && sigma !== undefined) refuse('training.sigma is a distance for attention', 'set training.attention, or leave sigma out')
  if (attention !== undefined && ((personal ?? proximal ?? serverRate) !== undefined || serverMomentum > 0)) {
    refuse('training.attention leaves no common model for personal, proximal, serverRate or serverMomentum to act on', 'leave them out')
  }
  if (personal === undefined && attention === undefined && pull > 0) refuse('training.pull needs a personal model to pull', `set training.personal to ${PERSONAL.join(' or ')}, or training.attention, or leave pull out`)
  if (personal === undefined && lrPersonal !== undefined) refuse('training.lrPersonal is the rate of a personal model', `set training.personal to ${PERSONAL.join(' or ')}, or leave lrPersonal out`)
  if (personal !== 'pfedme') {
    if (innerSteps !== undefined) refuse('training.innerSteps are steps of a pfedme model', 'set training.personal to pfedme, or leave innerSteps out')
    return
  }
  if (pull === 0) refuse('training.personal pfedme needs training.pull: without it the agreed model never moves', 'set training.pull above 0')
  const [key, rate] = lrPersonal === undefined ? ['lrLocal', lrLocal] : ['lrPersonal', lrPersonal]
  if (pull * rate > 1) refuse(`training.pull ${pull} times training.${key} ${rate} is above 1: the agreed model would overshoot the personal one`, 'lower either')
  if (proximal !== undefined) refuse('training.proximal has no gradient step to act on beside a pfedme model', 'leave it out')
}

/** Steps that a client may have under way at once. */
export function inFlight (spec: TrainingSpec): number { return spec.inFlight ?? 1 }

/** Steps of a host's clock. */
export function totalSteps (spec: TrainingSpec): number { return spec.rounds * spec.stepsPerRound }

/** Gradient steps of a client between two steps of the clock, E. */
export function localStepsOf (spec: TrainingSpec): number { return spec.localSteps ?? 1 }
