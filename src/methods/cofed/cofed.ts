/**
 * CoFED: sites whose models, widths and classes may all differ teach each other by labels on common unlabelled rows
 * (./labels.ts); no weight travels. After a first part of the run that every site trains alone, each step of the clock ends with
 * proposals, and the next begins with what was accepted.
 *
 * The votes are units of the host: hosts merge them by their mean, so sites of several hosts are counted together.
 */
import { CofedSite } from './site.ts'
import { CofedHost } from './host.ts'
import { InvalidParametersError } from '../../errors.ts'
import { checkOptions } from '../../options.ts'
import { labelTasks, votesGraph, words } from './wire.ts'
import { refuseUnknown } from '../../models/spec.ts'
import type { Method } from '../method.ts'
import type { PublicFile, PublicSet } from './public-set.ts'

export interface CofedOptions {
  readonly public: PublicSet
  /** Proposals are rows whose first two probabilities are further apart. */
  readonly margin: number
  /** More than this share of the sites that know a class must have proposed it. */
  readonly threshold: number
  /** Two classes: by margin and threshold as with more, or the label that more than half of all sites give. */
  readonly binary: 'per-class' | 'majority'
  /** Share of the run's steps in which nothing is proposed. */
  readonly alone: number
  /** Width of the model at each seat, in turn. None: the charter's everywhere. */
  readonly widths: readonly number[]
}

const DEFAULTS: CofedOptions = { public: { rows: 512, seed: 0 }, margin: 0.3, threshold: 0.3, binary: 'per-class', alone: 0.25, widths: [] }
/** 5000 in the paper; a label is 4 bytes, and hosts count rows times classes. */
const MAX_ROWS = 20_000
const MAX_WIDTH = 4096

export const cofed: Method<CofedOptions> = {
  name: 'cofed',
  options: raw => {
    const { public: set = DEFAULTS.public, widths = DEFAULTS.widths, ...rest } = raw
    const share = { what: 'a number from 0 to 1', fits: (value: number) => value >= 0 && value <= 1 }
    checkOptions('method', 'cofed', rest, { margin: share, threshold: share, binary: ['per-class', 'majority'], alone: share })
    if (!Array.isArray(widths) || !widths.every(width => whole(width, MAX_WIDTH))) throw new InvalidParametersError(`method.widths must be a list of whole numbers from 1 to ${MAX_WIDTH}, got ${JSON.stringify(widths)}`)
    return { ...DEFAULTS, ...rest, public: parseSet(set), widths: widths as number[] }
  },
  exchange: (charter, options) => {
    const tasks = labelTasks(charter)
    const { rows } = options.public
    if (tasks.length === 0) throw new InvalidParametersError('cofed labels rows with classes, and the charter has no task of that kind', { next: 'add a task of kind classes, or choose another strategy' })
    const { backbone: { attention, heads } } = charter.model
    const misfit = attention ? options.widths.find(width => width % heads !== 0) : undefined
    if (misfit !== undefined) throw new InvalidParametersError(`method.widths: ${misfit} does not divide by model.heads ${heads}`, { next: 'choose widths that are multiples of the heads' })
    return {
      units: new Map(tasks.map(({ id, channels }) => [`votes/${id}`, votesGraph(rows, channels)])),
      up: new Map(tasks.flatMap(({ id, channels }): Array<[string, number]> => [[`labels/${id}`, rows], [`classes/${id}`, channels]])),
      down: (name, numbers) => tasks.some(({ id, channels }) => name === `accepted/${id}` && numbers === rows * words(channels))
    }
  },
  site: (init, options) => new CofedSite(init, options),
  host: (init, options) => new CofedHost(init, options),
  traffic: (charter, options) => {
    const over = (numbers: (channels: number) => number): number => labelTasks(charter).reduce((sum, { channels }) => sum + numbers(channels), 0)
    const { rows } = options.public
    return { up: over(channels => rows + channels), down: over(channels => rows * words(channels)) }
  }
}

function whole (value: unknown, most: number): value is number { return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most }

/** @throws {InvalidParametersError} neither a number of rows with a seed nor a file with its hash */
function parseSet (raw: unknown): PublicSet {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) throw new InvalidParametersError(`method.public must be a section of settings, got ${JSON.stringify(raw)}`)
  const fromFile = 'file' in raw
  refuseUnknown('method.public', raw, fromFile ? ['rows', 'file', 'sha256'] : ['rows', 'seed'])
  const { rows, seed = 0, file, sha256 } = raw as Partial<PublicFile> & { seed?: number }
  if (!whole(rows, MAX_ROWS)) throw new InvalidParametersError(`method.public.rows must be a whole number from 1 to ${MAX_ROWS}, got ${String(rows)}`)
  if (!fromFile) {
    if (!Number.isInteger(seed)) throw new InvalidParametersError(`method.public.seed must be a whole number, got ${String(seed)}`)
    return { rows, seed }
  }
  if (typeof file !== 'string' || file === '') throw new InvalidParametersError('method.public.file must be the path of a file')
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) throw new InvalidParametersError('method.public.sha256 must be 64 hex digits, those of the file')
  return { rows, file, sha256 }
}
