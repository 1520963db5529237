/**
 * The graph around a lowered part. Its passes are functions: called once for all rows, or once for each lane, a share of the
 * rows that one thread computes from end to end. Operations of this size are too short to be shared out one by one (waking a
 * thread costs as much as many of them take).
 *
 * What forward leaves for backward stays inside TensorFlow: it is staged under the number of the pass (MapStage) and backward
 * takes it from there, instead of a handle for each of a hundred tensors that goes out and comes back.
 */
import { FLOAT, INT32, INT64 } from './graph-def.ts'
import { LANES, scopesOf } from './lanes.ts'
import { GRADIENTS, PARAMETERS, given } from './lower.ts'
import type { Argument, Attribute, DataType, FunctionDef, NodeDef } from './graph-def.ts'
import type { Lowered } from './lower.ts'
import type { Shape } from '../../graph/graph.ts'

/** Runs what is ready one after the other on the calling thread; the default hands it to a pool of threads. */
const IN_ORDER = 'SINGLE_THREADED_EXECUTOR'

/**
 * ConfigProto with graph_options.rewrite_options.disable_meta_optimizer: functions have been optimised with the graph that calls
 * them, and once more when first called would take another half a second.
 */
const AS_IT_IS = [0x52, 5, 0x52, 3, 0x98, 1, 1]

/** Placeholder of the number of the pass. */
export const PASS = 'pass'

/** Where backward finds what forward computed. */
export type Source =
  /** Staged by forward, and gone afterwards. */
  | 'taken'
  /** Staged by forward, and left there. */
  | 'seen'
  /** Nowhere: computed once more from the inputs. */
  | 'again'

export interface Calls {
  readonly nodes: readonly NodeDef[]
  readonly functions: readonly FunctionDef[]
}

export function scoped (scope: string, name: string): string { return `${scope}/${name}` }
export function inferred (scope: string, output: string): string { return `${scope}/infer/${output}` }
export function passed (scope: string, output: string): string { return `${scope}/forward/${output}` }
export function pulledBack (scope: string, source: Source, gradient: string): string { return `${scope}/${source}/${gradient}` }
/** One staged value, taken so that all of them go. */
export function dropped (scope: string): string { return `${scope}/taken` }
/** Tensor of the flat parameter gradient of all lanes together. */
export function summed (lanes: number, source: Source): string { return pulledBack(lanes === 1 ? 'whole' : 'lanes', source, GRADIENTS) }

/**
 * @param saved - values of the forward pass that backward reads, apart from parameters and inputs; none are staged if none are saved
 * @param threads - of TensorFlow's own
 */
export function callsOf (lowered: Lowered, saved: ReadonlyMap<string, Shape>, threads: number): Calls {
  const outputs = [...lowered.outputs.values()]
  const gradients = [...lowered.inputGradients.values(), GRADIENTS]
  const kept = [...saved.keys()]
  const functions = { infer: functionOf('infer', lowered, outputs), forward: functionOf('forward', lowered, [...outputs, ...kept]), backward: functionOf('backward', lowered, gradients, saved) }
  const types = kept.map((): DataType => FLOAT)
  const sources: readonly Source[] = kept.length > 0 ? ['taken', 'seen', 'again'] : ['again']
  const nodes: NodeDef[] = []
  const add = (name: string, op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): void => { nodes.push({ name, op, inputs, attributes }) }
  const feed = (name: string, { type, shape }: Omit<Argument, 'name'>): void => add(name, 'Placeholder', [], { dtype: { type }, shape: { shape } })
  /** Lanes share the parameters; everything else that is fed is a lane's own. */
  const fedAs = (scope: string, name: string): string => name === PARAMETERS ? name : scoped(scope, name)
  feed(PARAMETERS, lowered.placeholders.get(PARAMETERS) as Argument)
  feed(PASS, { type: INT32, shape: [] })
  add('key', 'Cast', [PASS], { SrcT: { type: INT32 }, DstT: { type: INT64 } })
  add('places', 'Const', [], { dtype: { type: INT32 }, value: { tensor: { type: INT32, shape: [kept.length], values: [...kept.keys()] } } })
  const addScope = (scope: string, executor: string): void => {
    /** Calls a function and hands on its first results as `scope/name/...`. */
    const call = (name: string, { name: called, parameters, results }: FunctionDef, handed: readonly string[], valueOf: ReadonlyMap<string, string> = new Map(), after: readonly string[] = []): string => {
      const node = scoped(scope, `${name}/${called}`)
      const inputs = parameters.map(({ name: of }) => valueOf.get(of) ?? fedAs(scope, of))
      add(node, 'PartitionedCall', inputs, { Tin: { types: parameters.map(({ type }) => type) }, Tout: { types: results.map((): DataType => FLOAT) }, f: { called }, executor_type: { text: executor }, config_proto: { bytes: AS_IT_IS } })
      for (const [i, of] of handed.entries()) add(scoped(scope, `${name}/${of}`), 'Identity', [`${node}:${i}`, ...after.map(other => `^${other}`)], { T: { type: FLOAT } })
      return node
    }
    for (const placeholder of lowered.placeholders.values()) if (placeholder.name !== PARAMETERS) feed(fedAs(scope, placeholder.name), placeholder)
    call('infer', functions.infer, outputs)
    const [stage, taken, seen] = [scoped(scope, 'stage'), scoped(scope, 'taken'), scoped(scope, 'seen')]
    const forward = call('forward', functions.forward, outputs, undefined, kept.length > 0 ? [stage] : [])
    if (kept.length > 0) {
      const staged = { dtypes: { types }, shared_name: { text: scope } }
      add(stage, 'MapStage', ['key', 'places', ...kept.map((_, i) => `${forward}:${outputs.length + i}`)], { ...staged, fake_dtypes: { types } })
      add(taken, 'MapUnstage', ['key', 'places'], staged)
      add(seen, 'MapPeek', ['key', 'places'], staged)
    }
    for (const source of sources) {
      const [from, first] = source === 'again' ? [forward, outputs.length] : [scoped(scope, source), 0]
      call(source, functions.backward, gradients, new Map(kept.map((name, i) => [name, `${from}:${first + i}`])))
    }
  }
  // Nothing to hand to on a single thread: in order takes a tenth less time.
  for (const scope of scopesOf(1)) addScope(scope, threads === 1 ? IN_ORDER : '')
  for (const scope of scopesOf(LANES)) addScope(scope, IN_ORDER)
  for (const source of sources) {
    add(summed(LANES, source), 'AddN', scopesOf(LANES).map(scope => pulledBack(scope, source, GRADIENTS)), { T: { type: FLOAT }, N: { count: LANES } })
  }
  return { nodes, functions: Object.values(functions) }
}

/** What of a lowered part computes `results` from its placeholders and, instead of computing them, `handed`. */
function functionOf (name: string, { nodes, placeholders }: Lowered, results: readonly string[], handed: ReadonlyMap<string, Shape> = new Map()): FunctionDef {
  const byName = new Map(nodes.map(node => [node.name, node]))
  const parameters = new Map([...placeholders, ...[...handed].map(([of, shape]) => [of, given(of, shape)] as const)])
  const reached = new Set<string>()
  const open = [...results]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (reached.has(next)) continue
    reached.add(next)
    if (!parameters.has(next)) open.push(...(byName.get(next) as NodeDef).inputs)
  }
  const isReached = (of: { readonly name: string }): boolean => reached.has(of.name)
  return { name, parameters: [...parameters.values()].filter(isReached), results, nodes: nodes.filter(node => isReached(node) && !parameters.has(node.name)) }
}
