/** How much one pass computes, by which a node chooses what computes it. */
import { architecturesOf } from '../bench/spec.ts'
import { buildTrunk } from '../models/trunk.ts'
import { mostTokens } from '../models/inputs.ts'
import type { Charter } from '../federation/charter.ts'

/** A node's part in a charter; `both`: host and clients in one process. */
export type Part = 'host' | 'client' | 'peer' | 'both'

/** Positions of one batch times parameters of the trunk, where this part of the charter computes trunks in its steps; else 0. */
export function passWork (charter: Charter, part: Part): number {
  const { bench, input, method, model, training } = charter
  const atHost = model.trunk !== 'client' && method === undefined
  if ((part === 'host' && !atHost) || (part === 'client' && atHost)) return 0
  const models = bench === undefined ? [model] : architecturesOf(bench, model, input).map(architecture => architecture.model)
  return training.batch * Math.max(...models.map(of => of.kind === 'linear' ? 0 : mostTokens(of, charter) * buildTrunk(of.backbone).parameterCount))
}
