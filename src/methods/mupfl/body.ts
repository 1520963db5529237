/** Forward only, over a whole model, for what lies inside: hidden units of the trunk, and what heads read their classes from. */
import { GraphBuilder } from '../../graph/graph.ts'
import { EVALUATION_ROWS, joinRows } from '../../training/evaluation.ts'
import { buildTrunk } from '../../models/trunk.ts'
import { createHead } from '../../models/head.ts'
import { differentiate } from '../../graph/gradients.ts'
import { elements } from '../../tensor/tensor.ts'
import { joinPart } from '../../models/whole.ts'
import { joinedWeights } from '../../training/unit.ts'
import type { Backend, Model } from '../../backend/backend.ts'
import type { ClientData, Rows } from '../../data/dataset.ts'
import type { Embedder } from '../../models/embedder.ts'
import type { Graph } from '../../graph/graph.ts'
import type { ModelSpec } from '../../models/spec.ts'
import type { TaskSpec } from '../../tasks/task.ts'
import type { TensorData } from '../../tensor/tensor.ts'
import type { Weights } from '../../training/unit.ts'

export interface BodyInit {
  readonly data: Pick<ClientData, 'input' | 'tasks'>
  readonly model: ModelSpec
  readonly embedder: Embedder
  /** Embedder, trunk, heads: of the model that this looks into. */
  readonly units: readonly Weights[]
}

/** One class per row, from one vector per row. */
export function readsRows ({ kind }: TaskSpec): boolean { return kind === 'classes' }

export class Body {
  readonly #embedder: Embedder
  readonly #units: readonly Weights[]
  readonly #rowSize: number
  readonly #layers: readonly string[]
  readonly #model: Model

  constructor (backend: Backend, { data: { input, tasks }, model, embedder, units }: BodyInit) {
    this.#embedder = embedder
    this.#units = units
    this.#rowSize = elements(input.shape)
    const { tokens } = embedder
    const trunk = buildTrunk(model.backbone)
    const hidden = trunk.nodes.filter(({ op }) => op.kind === 'gelu').map(({ id }, layer) => [`hidden/${layer}`, id] as const)
    this.#layers = hidden.map(([name]) => name)
    const g = new GraphBuilder()
    const activations = joinPart(g, 'embed', embedder.graph, tokens).get('activations') as number
    const inside = joinPart(g, 'trunk', { ...trunk, outputs: new Map([...trunk.outputs, ...hidden]) }, tokens, new Map([['activations', activations]]))
    for (const name of this.#layers) g.output(name, inside.get(name) as number)
    for (const task of tasks) {
      const { graph } = createHead(task, embedder, model.backbone.width, model.adapter)
      const read = joinPart(g, `head/${task.id}`, { ...graph, outputs: new Map([['read', beforeReadout(graph)]]) }, tokens, new Map([['features', inside.get('features') as number]]))
      if (readsRows(task)) g.output(`read/${task.id}`, read.get('read') as number)
    }
    this.#model = backend.load(differentiate(g.build(), []))
  }

  /** Per layer: what its hidden units give out, [rows, units]. */
  async hidden ({ x, count }: Pick<Rows, 'x' | 'count'>): Promise<Float32Array[]> {
    const outputs = await this.#infer(x, count)
    return this.#layers.map(name => outputs[name]?.data as Float32Array)
  }

  /** Per task that reads rows: the vector that a row's class is read from, [rows, width]. */
  async read ({ x, count }: Pick<Rows, 'x' | 'count'>): Promise<ReadonlyMap<string, TensorData>> {
    const chunks: Array<ReadonlyMap<string, TensorData>> = []
    for (let start = 0; start < count; start += EVALUATION_ROWS) {
      const rows = Math.min(EVALUATION_ROWS, count - start)
      const outputs = await this.#infer(x.subarray(start * this.#rowSize, (start + rows) * this.#rowSize), rows)
      chunks.push(new Map(Object.entries(outputs).flatMap(([name, tensor]) => name.startsWith('read/') ? [[name.slice('read/'.length), tensor]] : [])))
    }
    return joinRows(chunks)
  }

  dispose (): void { this.#model.dispose() }

  async #infer (x: Float32Array, count: number): Promise<Readonly<Record<string, TensorData>>> {
    this.#model.setParameters(joinedWeights(this.#units))
    return await this.#model.infer({ pieces: this.#embedder.unfold(x, count) })
  }
}

/** The node that a head's last linear layer reads. */
function beforeReadout ({ nodes }: Graph): number {
  const weight = nodes.find(({ op }) => op.kind === 'parameter' && op.name === 'readout.weight')
  const product = nodes.find(({ op, inputs }) => op.kind === 'matMul' && inputs[1] === weight?.id)
  return product?.inputs[0] as number
}
