/** What sites and hosts of TAP say to each other. */
import { moduleGraphs } from '../../models/modular.ts'
import type { Charter } from '../../federation/charter.ts'
import type { Graph } from '../../graph/graph.ts'

/** Beside changes of its modules a site sends a number per module of the charter: whether it must hear of it before the next step. */
export const WANTS = 'wants'

/** All modules of a charter: what hosts hold. */
export function modulesOf (charter: Charter): ReadonlyMap<string, Graph> { return moduleGraphs(charter) }
