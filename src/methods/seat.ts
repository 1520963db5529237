/** Where a site stands among all, for methods that share work out without a coordinator. */
import { deriveSeed } from '../random.ts'
import type { Seat } from './method.ts'

/** Seats of sites that know nothing of each other: enough that two seldom fall on one. */
const HASHED = 2 ** 16

/**
 * Its place in a data set of several sites, as testnets and the simulator have; else, on a machine of its own, what follows
 * from its name on the wire: the same after every restart, whoever else joins or leaves, and evenly spread.
 */
export function seatOf (sites: readonly string[], site: string, name: string): Seat {
  return sites.length > 1 ? { rank: sites.indexOf(site), of: sites.length } : { rank: deriveSeed(0, 'seat', name) % HASHED, of: HASHED }
}
