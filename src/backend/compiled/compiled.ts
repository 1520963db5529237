/**
 * Runs a model part as one compiled TensorFlow graph on the `tensorflow` rung. The eager executor pays tfjs for every
 * operation, some 900 kernels for both ways through a trunk of six layers; here each way is one call into the C library.
 * tfjs-node takes a graph only as a SavedModel on disk: one is written, loaded and removed at once, and models of equal
 * structure share it, since their parameters are fed. Values between forward and backward stay inside TensorFlow.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackendError, InvalidParametersError } from '../../errors.ts'
import { bindInputs, seedFor } from '../arguments.ts'
import { resolveShape } from '../../graph/graph.ts'
import { TAG, encodeSavedModel } from './graph-def.ts'
import { GRADIENTS, PARAMETERS, lower, tensorOf } from './lower.ts'
import type { Backend, ForwardOptions, Gradients, Kept, Model, Passed } from '../backend.ts'
import type { EagerRung } from '../eager.ts'
import type { Lowered } from './lower.ts'
import type { Node } from '../../graph/graph.ts'
import type { Program } from '../../graph/gradients.ts'
import type { TensorData } from '../../tensor/tensor.ts'
import type * as tfjs from '@tensorflow/tfjs-core'

type Tf = typeof tfjs
type Feeds = ReadonlyMap<string, tfjs.Tensor>

/** What tfjs-node's `tf.node.loadSavedModel` itself stands on, without its parsing of a signature that we do not need. */
interface SavedModels {
  loadSavedModelMetaGraph (folder: string, tags: string): number
  runSavedModel (id: number, inputs: readonly tfjs.Tensor[], infos: ReadonlyArray<{ readonly name: string }>, outputs: readonly string[]): tfjs.Tensor[]
  deleteSavedModel (id: number): void
}

/** @throws {BackendError} this rung is not tfjs-node */
export function createCompiledBackend (rung: EagerRung): Backend {
  const sessions = new Sessions(rung.tf.backend())
  return {
    name: rung.name,
    memoryBytes: rung.memoryBytes,
    load: program => new CompiledModel(rung.tf, program, sessions),
    liveTensors: () => rung.tf.memory().numTensors,
    dispose: () => {}
  }
}

interface Session {
  run (feeds: Feeds, fetches: readonly string[]): tfjs.Tensor[]
  /** Ends one user's share. */
  close (): void
}

/** Loaded graphs by content: TensorFlow optimises a graph once, however many models run it. */
class Sessions {
  readonly #native: SavedModels
  readonly #open = new Map<string, { readonly id: number, users: number }>()

  constructor (backend: object) {
    if (!('runSavedModel' in backend)) throw new BackendError('graphs are compiled by TensorFlow only')
    this.#native = backend as SavedModels
  }

  /** @throws {BackendError} TensorFlow does not accept the graph */
  open (graph: Uint8Array): Session {
    const native = this.#native
    const key = createHash('sha256').update(graph).digest('base64')
    const session = this.#open.get(key) ?? { id: load(native, graph), users: 0 }
    session.users++
    this.#open.set(key, session)
    return {
      run: (feeds, fetches) => {
        try {
          return native.runSavedModel(session.id, [...feeds.values()], [...feeds.keys()].map(name => ({ name: `${name}:0` })), fetches.map(name => `${name}:0`))
        } catch (cause) {
          throw new BackendError(`the compiled model failed: ${firstLine(cause)}`, { cause, next: 'run with FMTL_EXECUTOR=eager' })
        }
      },
      close: () => {
        if (--session.users > 0) return
        this.#open.delete(key)
        native.deleteSavedModel(session.id)
      }
    }
  }
}

function load (native: SavedModels, graph: Uint8Array): number {
  let folder: string | undefined
  try {
    folder = mkdtempSync(join(tmpdir(), 'fmtl-graph-')) // readable by this user alone
    writeFileSync(join(folder, 'saved_model.pb'), graph)
    return native.loadSavedModelMetaGraph(folder, TAG)
  } catch (cause) {
    throw new BackendError(`the model does not compile: ${firstLine(cause)}`, { cause })
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  }
}

/** One forward pass: everything that backward feeds. */
class Held implements Kept {
  readonly owner: CompiledModel
  readonly feeds: Feeds
  readonly sizes: ReadonlyMap<string, number>
  open = true

  constructor (owner: CompiledModel, feeds: Feeds, sizes: ReadonlyMap<string, number>) {
    this.owner = owner
    this.feeds = feeds
    this.sizes = sizes
  }

  get groups (): number { return this.sizes.get('G') ?? 1 }

  release (): void {
    if (!this.open) return
    this.open = false
    for (const tensor of this.feeds.values()) tensor.dispose()
  }
}

class CompiledModel implements Model {
  readonly parameterCount: number
  readonly #tf: Tf
  readonly #program: Program
  readonly #lowered: Lowered
  readonly #session: Session
  /** Computed forward values that backward reads; inputs and parameters are at hand anyway. */
  readonly #saved: readonly string[]
  /** Inputs that backward reads. */
  readonly #savedInputs: ReadonlySet<string>
  #parameters: tfjs.Tensor | undefined
  #disposed = false

  constructor (tf: Tf, program: Program, sessions: Sessions) {
    this.#tf = tf
    this.#program = program
    this.parameterCount = program.graph.parameterCount
    this.#lowered = lower(program)
    this.#session = sessions.open(encodeSavedModel(this.#lowered.nodes))
    const saved = program.saved.map(id => program.nodes[id] as Node)
    this.#saved = saved.filter(({ op }) => op.kind !== 'input' && op.kind !== 'parameter').map(({ id }) => tensorOf(id))
    this.#savedInputs = new Set(saved.filter(({ op }) => op.kind === 'input').map(({ id }) => tensorOf(id)))
  }

  setParameters (flat: Float32Array): void {
    if (flat.length !== this.parameterCount) throw new InvalidParametersError(`model has ${this.parameterCount} parameters, got ${flat.length}`)
    this.#parameters?.dispose()
    this.#parameters = this.#tf.tensor1d(flat.slice(), 'float32')
  }

  async forward (inputs: Readonly<Record<string, TensorData>>, options: ForwardOptions = {}): Promise<Passed> {
    const { groups = 1, keep = 'values' } = options
    const { feeds, sizes } = this.#feed(inputs, groups)
    const kept = new Held(this, feeds, sizes)
    let results: tfjs.Tensor[] = []
    try {
      // Backward computes what it is not fed.
      results = this.#session.run(feeds, [...this.#lowered.outputs.values(), ...keep === 'values' ? this.#saved : []])
      if (keep === 'inputs') return { outputs: await download(this.#lowered.outputs, results), kept }
      const saved = results.splice(this.#lowered.outputs.size)
      this.#saved.forEach((name, i) => feeds.set(name, saved[i] as tfjs.Tensor))
      for (const id of this.#program.graph.inputs.values()) {
        if (this.#savedInputs.has(tensorOf(id))) continue
        feeds.get(tensorOf(id))?.dispose()
        feeds.delete(tensorOf(id))
      }
      return { outputs: await download(this.#lowered.outputs, results), kept }
    } catch (err) {
      kept.release()
      throw err
    } finally {
      for (const tensor of results) tensor.dispose()
    }
  }

  async infer (inputs: Readonly<Record<string, TensorData>>): Promise<Readonly<Record<string, TensorData>>> {
    const { feeds } = this.#feed(inputs, 1)
    let results: tfjs.Tensor[] = []
    try {
      results = this.#session.run(feeds, [...this.#lowered.outputs.values()])
      return await download(this.#lowered.outputs, results)
    } finally {
      for (const tensor of [...feeds.values(), ...results]) tensor.dispose()
    }
  }

  async backward (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    try {
      return await this.backwardKeep(kept, seeds)
    } finally {
      kept.release()
    }
  }

  async backwardKeep (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    if (!(kept instanceof Held) || kept.owner !== this || !kept.open) throw new InvalidParametersError('backward: this forward pass has already been used up')
    const { inputGradients } = this.#lowered
    const given = new Map<string, tfjs.Tensor>()
    let results: tfjs.Tensor[] = []
    try {
      for (const [name, id] of this.#program.seeds) {
        const { data, shape } = seedFor(name, seeds, this.#program.nodes[id] as Node, kept.sizes)
        given.set(tensorOf(id), this.#tf.tensor(data, [...shape], 'float32'))
      }
      results = this.#session.run(new Map([...kept.feeds, ...given]), [...inputGradients.values(), GRADIENTS])
      const parameters = results.at(-1) as tfjs.Tensor
      return { inputs: await download(inputGradients, results), parameters: await parameters.data() as Float32Array }
    } finally {
      for (const tensor of [...given.values(), ...results]) tensor.dispose()
    }
  }

  dispose (): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#parameters?.dispose()
    this.#parameters = undefined
    this.#session.close()
  }

  /** Inputs, shapes and a share in the parameters, all owned by the pass. */
  #feed (inputs: Readonly<Record<string, TensorData>>, groups: number): { feeds: Map<string, tfjs.Tensor>, sizes: ReadonlyMap<string, number> } {
    const { graph } = this.#program
    if (this.#parameters === undefined) throw new BackendError('forward before setParameters')
    const sizes = bindInputs(this.#program, inputs, groups)
    const feeds = new Map<string, tfjs.Tensor>([[PARAMETERS, this.#parameters.clone()]])
    for (const [name, shape] of this.#lowered.shapes) feeds.set(name, this.#tf.tensor1d(resolveShape(shape, sizes), 'int32'))
    for (const [name, id] of graph.inputs) {
      const { data, shape } = inputs[name] as TensorData
      feeds.set(tensorOf(id), this.#tf.tensor(data, [...shape], 'float32'))
    }
    return { feeds, sizes }
  }
}

/** tfjs-node copies values out, so the arrays are the caller's own. */
async function download (names: ReadonlyMap<string, string>, tensors: readonly tfjs.Tensor[]): Promise<Record<string, TensorData>> {
  const values: Record<string, TensorData> = {}
  for (const [i, name] of [...names.keys()].entries()) {
    const tensor = tensors[i] as tfjs.Tensor
    values[name] = { shape: [...tensor.shape], data: await tensor.data() as Float32Array }
  }
  return values
}

function firstLine (err: unknown): string {
  return ((err as Error).message.split('\n', 1)[0] ?? '').trim()
}
