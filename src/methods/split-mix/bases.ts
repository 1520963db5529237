/**
 * Base models: K of one form, each a K-th as wide as the full model. They share no parameters; seen as slices of the full
 * model's layers they lie side by side, and cover a layer where its width divides by K.
 */
import { InvalidParametersError } from '../../errors.ts'
import { buildTrunk } from '../../models/trunk.ts'
import { partGraphs } from '../../models/units.ts'
import { normUnits } from '../../training/dual-model.ts'
import type { Charter } from '../../federation/charter.ts'
import type { Graph } from '../../graph/graph.ts'
import type { ModelSpec } from '../../models/spec.ts'
import type { Sides } from '../../training/dual-model.ts'

/** Before the names of a base's units. */
export function prefixOf (base: number): string { return `base/${base}/` }

/** The channels of a layer that each base owns, from and to. @throws {InvalidParametersError} they would not be of one width */
export function slicesOf (width: number, bases: number, what = 'a width'): ReadonlyArray<readonly [number, number]> {
  if (width % bases !== 0) throw new InvalidParametersError(`${what} of ${width} does not divide into ${bases} bases`, { next: 'choose a multiple of method.bases' })
  const per = width / bases
  return Array.from({ length: bases }, (_, base) => [base * per, (base + 1) * per])
}

/** The form of one base. @throws {InvalidParametersError} the widths do not divide */
export function narrowed (model: ModelSpec, bases: number): ModelSpec {
  const { width, hidden, heads, attention } = model.backbone
  const narrow = (size: number, what: string): number => (slicesOf(size, bases, what)[0] as readonly [number, number])[1]
  const backbone = { ...model.backbone, width: narrow(width, 'model.width'), hidden: narrow(hidden, 'model.hidden'), heads: Math.max(1, Math.floor(heads / bases)) }
  if (attention && backbone.width % backbone.heads !== 0) throw new InvalidParametersError(`a base of width ${backbone.width} does not divide by its ${backbone.heads} heads`, { next: 'choose model.heads so that a base has a divisor of its width' })
  return { ...model, backbone, adapter: Math.ceil(model.adapter / bases) }
}

/** How far start values of a layer with a narrowed input are drawn, as if it were as wide as in the full model: 1/sqrt(fanIn / ratio). */
export function rescaledBound (bound: number, ratio: number): number { return bound * Math.sqrt(ratio) }

/** The part's graph with start values rescaled; the embedder reads the whole input and keeps its own. */
export function rescaled (part: string, graph: Graph, ratio: number): Graph {
  if (part.startsWith('embed/')) return graph
  return { ...graph, parameters: graph.parameters.map(parameter => 'deviation' in parameter.initial ? { ...parameter, initial: { deviation: rescaledBound(parameter.initial.deviation, ratio) } } : parameter) }
}

export interface BasesInit {
  readonly bases: number
  readonly rescaled: boolean
  readonly sides: Sides
}

/** Units of one base by their names without its prefix, start values as asked for. */
export function baseUnits (of: Pick<Charter, 'model' | 'input' | 'inputs' | 'tasks'>, init: BasesInit): ReadonlyMap<string, Graph> {
  const spec = narrowed(of.model, init.bases)
  const trunk = buildTrunk(spec.backbone)
  const parts: Array<readonly [string, Graph]> = [['trunk', trunk], ...partGraphs({ ...of, model: spec })]
  return new Map([
    ...parts.map(([name, graph]) => [name, startOf(init)(name, graph)] as const),
    ...normUnits(trunk, spec.norm === 'batch', init.sides)
  ])
}

/** What a part's start values are drawn from. */
export function startOf ({ rescaled: rescale, bases }: BasesInit): (part: string, graph: Graph) => Graph {
  return rescale ? (part, graph) => rescaled(part, graph, 1 / bases) : (_, graph) => graph
}
