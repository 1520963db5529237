/** Figures of contestants that took turns, and what our figure is of theirs, turn by turn. */
import { spreadOf } from '../../../testnet/bench/report.ts'
import type { Spread } from '../../../testnet/bench/report.ts'

/** impl -> its figure in each turn; undefined where it gave none. */
export type Turns = ReadonlyMap<string, readonly (number | undefined)[]>

/**
 * Ours divided by theirs, one ratio per turn in which both gave a figure. Turns, not medians, are compared: what the
 * machine did besides during a turn hit both.
 *
 * @returns undefined without such a turn
 */
export function ratios (turns: Turns, ours: string, theirs: string): Spread | undefined {
  const others = turns.get(theirs) ?? []
  const pairs = (turns.get(ours) ?? []).flatMap((figure, turn) => {
    const other = others[turn]
    return figure === undefined || other === undefined ? [] : [figure / other]
  })
  return pairs.length === 0 ? undefined : spreadOf(pairs)
}

/** The figures that there are, over all turns. */
export function overTurns (turns: Turns, impl: string): Spread | undefined {
  const figures = (turns.get(impl) ?? []).filter(figure => figure !== undefined)
  return figures.length === 0 ? undefined : spreadOf(figures)
}

/** What one contestant does first in one turn, another does first in the next: nobody always follows the same neighbour. */
export function inTurn<T> (contestants: readonly T[], turn: number): T[] {
  const first = turn % Math.max(1, contestants.length)
  return [...contestants.slice(first), ...contestants.slice(0, first)]
}
