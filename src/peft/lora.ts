/**
 * A trunk with low-rank corrections beside some of its dense layers. The trunk's weights are [in, out], its rows x:
 *
 *     x W0 + s (x A^T) B^T
 *
 * A site may have a second pair of its own, which is added in the same way and never leaves: the layer is then the trunk's,
 * corrected by all and by itself.
 */
import { InvalidParametersError } from '../errors.ts'
import { rewritten, unitOf } from './rewrite.ts'
import type { DenseSize } from './factors.ts'
import type { Graph } from '../graph/graph.ts'
import type { Role } from './rules/index.ts'
import type { Tuned } from './rewrite.ts'

/** A unit's one parameter. */
const FACTOR = 'factor'

/** Role and rank are in the name, 'a4': a shape says neither where r equals one side of the layer. The wire takes no capitals. */
export function factorName (layer: string, role: Role, rank: number): string { return `peft/${layer}/${role.toLowerCase()}${rank}` }

/** Of a site's own pair. */
export function ownName (layer: string, role: Role, rank: number): string { return `own/${layer}/${role.toLowerCase()}${rank}` }

/** One factor as a unit: A evenly up to 1 / sqrt(in) either way, B zero. */
export function factorUnit ({ inputs, outputs }: DenseSize, role: Role, rank: number): Graph {
  return unitOf(g => g.parameter(FACTOR, role === 'A' ? [rank, inputs] : [outputs, rank], role === 'A' ? { bound: inputs ** -0.5 } : { value: 0 }))
}

/** The pairs of all targets, in the order of the trunk's layers. */
export function factorUnits (layers: ReadonlyMap<string, DenseSize>, rank: number, name: typeof factorName): ReadonlyMap<string, Graph> {
  return new Map([...layers].flatMap(([layer, size]) => (['A', 'B'] as const).map(role => [name(layer, role, rank), factorUnit(size, role, rank)] as const)))
}

export interface LoraInit {
  readonly layers: ReadonlyMap<string, DenseSize>
  readonly rank: number
  /** s = alpha / r. */
  readonly scale: number
  /** A second pair at every layer. */
  readonly own: boolean
}

/** @throws {InvalidParametersError} a layer that multiplies something else than rows by its weights */
export function withLora (trunk: Graph, { layers, rank, scale, own }: LoraInit): Tuned {
  const names = own ? [factorName, ownName] : [factorName]
  const units = new Map(names.flatMap(name => [...factorUnits(layers, rank, name)]))
  const layerOf = new Map(trunk.nodes.flatMap(({ id, op }) => op.kind === 'parameter' && op.name.endsWith('.weight') && layers.has(op.name.slice(0, -'.weight'.length)) ? [[id, op.name.slice(0, -'.weight'.length)]] : []))
  const graph = rewritten(trunk, units, {
    node: ({ g, at, parameter }, { op, inputs: [x, weight], shape }, id) => {
      const layer = op.kind === 'matMul' ? layerOf.get(weight as number) : undefined
      if (layer === undefined || op.kind !== 'matMul') return id
      if (op.transposeA || op.transposeB || shape.length !== 2) throw new InvalidParametersError(`layer ${layer} of this trunk is no plain product of rows and weights`, { next: 'leave it out of method.targets' })
      return names.reduce((sum, name) => {
        const low = g.matMul(at(x as number), parameter(name(layer, 'A', rank), FACTOR), { transposeB: true })
        return g.add(sum, g.scale(g.matMul(low, parameter(name(layer, 'B', rank), FACTOR), { transposeB: true }), scale))
      }, id)
    }
  })
  return { graph, units }
}
