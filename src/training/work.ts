/** How much one pass computes, by which a node chooses what computes it. */
import { architecturesOf } from '../bench/spec.ts'
import { buildTrunk } from '../models/trunk.ts'
import { mostTokens } from '../models/inputs.ts'
import type { Charter } from '../federation/charter.ts'
import type { Inputs } from '../models/inputs.ts'
import type { ModelSpec } from '../models/spec.ts'

/** A node's part in a charter; `both`: host and clients in one process. */
export type Part = 'host' | 'client' | 'peer' | 'both'

/** Positions of one batch times parameters of the trunk, where this part of the charter computes trunks in its steps; else 0. */
export function passWork (charter: Charter, part: Part): number {
  const { bench, input, method, model, training } = charter
  const atHost = model.trunk !== 'client' && method === undefined
  if ((part === 'host' && !atHost) || (part === 'client' && atHost)) return 0
  const models = bench === undefined ? [model] : architecturesOf(bench, model, input).map(architecture => architecture.model)
  return Math.max(...models.map(of => modelWork(of, charter, training.batch)))
}

/** Positions of so many rows times parameters of the trunk. */
export function modelWork (model: ModelSpec, inputs: Inputs, rows: number): number {
  return model.kind === 'linear' ? 0 : rows * mostTokens(model, inputs) * buildTrunk(model.backbone).parameterCount
}
