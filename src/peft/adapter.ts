/**
 * A trunk with a bottleneck behind every block (Houlsby et al., arXiv 1902.00751), x [rows, d]:
 *
 *     x + W2 gelu(W1 x + b1) + b2        W1: d x b        W2: b x d, zero at the start
 *
 * A site's own bottleneck reads the same x, and both are added.
 */
import { InvalidParametersError } from '../errors.ts'
import { rewritten, unitOf } from './rewrite.ts'
import type { Graph, Node } from '../graph/graph.ts'
import type { Tuned } from './rewrite.ts'

/** The last dense layer of a block. */
const LAST = '.down.weight'

export interface AdapterInit {
  /** b */
  readonly bottleneck: number
  readonly own: boolean
}

export function adapterUnit (width: number, bottleneck: number): Graph {
  return unitOf(g => {
    g.parameter('down.weight', [width, bottleneck], { deviation: width ** -0.5 })
    g.parameter('down.bias', [bottleneck], { value: 0 })
    g.parameter('up.weight', [bottleneck, width], { value: 0 })
    g.parameter('up.bias', [width], { value: 0 })
  })
}

/** @throws {InvalidParametersError} the trunk has no blocks to stand behind */
export function withAdapters (trunk: Graph, { bottleneck, own }: AdapterInit): Tuned {
  const ends = blockEnds(trunk)
  const kinds = own ? ['peft', 'own'] : ['peft']
  const units = new Map([...ends].flatMap(([id, block]) => kinds.map(kind => [`${kind}/${block}/adapter`, adapterUnit(widthOf(trunk, id), bottleneck)] as const)))
  const graph = rewritten(trunk, units, {
    node: ({ g, parameter }, node, id) => {
      const block = ends.get(node.id)
      if (block === undefined) return id
      return kinds.reduce((sum, kind) => {
        const of = (name: string): number => parameter(`${kind}/${block}/adapter`, name)
        const inner = g.gelu(g.add(g.matMul(id, of('down.weight')), of('down.bias')))
        return g.add(sum, g.add(g.matMul(inner, of('up.weight')), of('up.bias')))
      }, id)
    }
  })
  return { graph, units }
}

/** The sum that closes each block: the first one behind its last layer of two computed values. */
function blockEnds ({ nodes }: Graph): ReadonlyMap<number, string> {
  const ends = new Map<number, string>()
  for (const { id, op } of nodes) {
    if (op.kind !== 'parameter' || !op.name.endsWith(LAST)) continue
    const block = op.name.slice(0, -LAST.length)
    let at: Node | undefined = nodes.find(({ inputs }) => inputs.includes(id))
    while (at !== undefined && !isResidual(nodes, at)) at = nextOf(nodes, at)
    if (at === undefined) throw new InvalidParametersError(`${block} of this trunk does not end in a sum`, { next: 'set method.kind to lora' })
    ends.set(at.id, block)
  }
  if (ends.size === 0) throw new InvalidParametersError('this trunk has no blocks that an adapter could follow', { next: 'set method.kind to lora' })
  return ends
}

function isResidual (nodes: readonly Node[], { op, inputs }: Node): boolean {
  return op.kind === 'add' && inputs.every(id => nodes[id]?.op.kind !== 'parameter')
}

function nextOf (nodes: readonly Node[], { id }: Node): Node | undefined { return nodes.find(({ inputs }) => inputs.includes(id)) }

function widthOf ({ nodes }: Graph, id: number): number { return nodes[id]?.shape.at(-1) as number }
