/**
 * A trunk that reads n learnt tokens before those of its rows (Lester et al., arXiv 2104.08691) and hands on the rows' alone.
 * They act through attention only. A site's own prompt is added to the common one, and starts at zero.
 */
import { InvalidParametersError } from '../errors.ts'
import { rewritten, unitOf } from './rewrite.ts'
import { withTokens } from '../models/whole.ts'
import type { Graph } from '../graph/graph.ts'
import type { Tuned } from './rewrite.ts'

export const PROMPT = 'peft/tokens/prompt'
export const OWN_PROMPT = 'own/tokens/prompt'

export interface PromptInit {
  /** n */
  readonly prompts: number
  /** Tokens of a row. */
  readonly tokens: number
  readonly width: number
  readonly own: boolean
}

export function promptUnit (prompts: number, width: number, own: boolean): Graph {
  return unitOf(g => g.parameter('tokens', [prompts, width], own ? { value: 0 } : { deviation: 0.02 }))
}

/** @throws {InvalidParametersError} a trunk in which tokens do not see each other */
export function withPrompt (trunk: Graph, { prompts, tokens, width, own }: PromptInit): Tuned {
  if (!trunk.nodes.some(({ op }) => op.kind === 'softmax')) throw new InvalidParametersError('method.kind prompt: the tokens of this trunk do not see each other', { next: 'set model.attention to true, or method.kind to lora or adapter' })
  const units = new Map([[PROMPT, promptUnit(prompts, width, false)], ...own ? [[OWN_PROMPT, promptUnit(prompts, width, true)] as const] : []])
  const [input, mask] = [trunk.inputs.get('activations'), trunk.inputs.get('mask')]
  const graph = rewritten(trunk, units, {
    node: ({ g, parameter }, node, id) => {
      if (node.id === mask) return g.pad(g.reshape(id, ['B', tokens]), 1, { before: prompts }) // learnt tokens are no padding
      if (node.id !== input) return id
      const common = parameter(PROMPT, 'tokens')
      const learnt = own ? g.add(common, parameter(OWN_PROMPT, 'tokens')) : common
      return g.add(g.pad(g.reshape(id, ['B', tokens, width]), 1, { before: prompts }), g.pad(learnt, 0, { after: tokens }))
    },
    output: ({ g }, id) => g.slice(id, 1, prompts, tokens),
    shape: shape => withTokens(shape, prompts + tokens)
  })
  return { graph, units }
}
