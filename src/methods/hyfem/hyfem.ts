/**
 * HyFEM: sites that have different blocks of a table's columns train one model together. Encoders are shared by block; hidden
 * units of the layer over them are matched across sites before they are averaged (./matching.ts), so that a site that never saw a
 * block still shares its hidden units with those that did.
 */
import { BIAS, fusionName, headName, outputsOf } from './layout.ts'
import { HyfemHost } from './host.ts'
import { HyfemSite } from './site.ts'
import { InvalidParametersError } from '../../errors.ts'
import { expectOneInput } from '../../models/inputs.ts'
import { blockColumns, blockUnits, encoderName, parseBlocks } from '../../models/blocks.ts'
import { checkOptions } from '../../options.ts'
import { numbersOf } from '../../graph/graph.ts'
import type { BlockSpec } from '../../models/blocks.ts'
import type { Method } from '../method.ts'

export interface HyfemOptions {
  readonly blocks: BlockSpec
  /** Blocks of each seat, in turn. None: every site has all. */
  readonly holds: ReadonlyArray<readonly number[]>
  /**
   * Weight of the distance to what was matched. The paper's .5 adds no gradient in its code; as a gradient it costs 8 to 11 points
   * of a site's accuracy on three blocks of four columns (seeds 1 to 3), .05 up to 2. Default 0.
   */
  readonly mu: number
  /** Mean squared difference from which a hidden unit is one of its own. */
  readonly newCost: number
  /** Hidden units that the host has room for. */
  readonly capacity: number
}

const DEFAULTS = { mu: 0, newCost: 0.05 }
const MAX_CAPACITY = 8192

export const hyfem: Method<Omit<HyfemOptions, 'capacity'> & { readonly capacity?: number }> = {
  name: 'hyfem',
  options: raw => {
    const { blocks = 2, holds = [], ...rest } = raw
    const from0 = { what: 'a number from 0', fits: (value: number) => value >= 0 && Number.isFinite(value) }
    checkOptions('method', 'hyfem', rest, { mu: from0, newCost: from0, capacity: { what: `a whole number from 1 to ${MAX_CAPACITY}`, fits: units => Number.isInteger(units) && units >= 1 && units <= MAX_CAPACITY } })
    return { ...DEFAULTS, ...rest, blocks: parseBlocks(blocks), holds: parseHolds(holds) }
  },
  exchange: (charter, options) => {
    const { model: { backbone }, tasks, input } = charter
    expectOneInput(charter, 'hyfem')
    const columns = blockColumns(options.blocks, input)
    const { width, hidden } = backbone
    const capacity = roomOf(options, hidden)
    if (capacity < hidden) throw new InvalidParametersError(`method.capacity ${capacity} has no room for the ${hidden} hidden units of one site`, { next: `set it to ${hidden} or more, or leave it out` })
    const foreign = options.holds.flat().find(v => v >= columns.length)
    if (foreign !== undefined) throw new InvalidParametersError(`method.holds: there are ${columns.length} blocks, none is number ${foreign}`, { next: 'blocks are counted from 0' })
    const all = [...columns.keys()]
    const units = blockUnits(columns, all, tasks, { ...backbone, hidden: capacity })
    const parts = new Map([
      ...all.flatMap((v): Array<[string, number]> => [[encoderName(v), units.get(encoderName(v))?.parameterCount as number], [fusionName(v), hidden * width]]),
      [BIAS, hidden],
      ...tasks.map((task): [string, number] => [headName(task), (hidden + 1) * outputsOf(task)])
    ])
    // a site is told what it sends, in the same form
    return { units, up: parts, down: (name, numbers) => parts.get(name) === numbers }
  },
  site: (init, options) => new HyfemSite(init, { ...options, capacity: roomOf(options, init.charter.model.backbone.hidden) }),
  host: (init, options) => new HyfemHost(init, { ...options, capacity: roomOf(options, init.charter.model.backbone.hidden) }),
  traffic: ({ model: { backbone }, tasks, input }, { blocks }) => {
    const columns = blockColumns(blocks, input)
    const numbers = numbersOf(blockUnits(columns, [...columns.keys()], tasks, backbone))
    return { up: numbers, down: numbers }
  }
}

/** Twice the hidden units of a site unless the charter says otherwise. */
function roomOf ({ capacity }: { readonly capacity?: number }, hidden: number): number { return capacity ?? 2 * hidden }

/** @throws {InvalidParametersError} not a list of blocks for each seat */
function parseHolds (raw: unknown): ReadonlyArray<readonly number[]> {
  const list = (held: unknown): boolean => Array.isArray(held) && held.length > 0 && new Set(held).size === held.length && held.every(v => Number.isInteger(v) && v >= 0)
  if (!Array.isArray(raw) || !raw.every(list)) throw new InvalidParametersError(`method.holds must be a list of blocks for each seat, got ${JSON.stringify(raw)}`, { next: 'such as [[0, 1], [1, 2], [0]]' })
  return (raw as number[][]).map(held => held.toSorted((a, b) => a - b))
}
