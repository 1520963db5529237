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
import { threadsInUse } from '../compat.ts'
import { resolveShape } from '../../graph/graph.ts'
import { TAG, encodeSavedModel } from './graph-def.ts'
import { PASS, callsOf, dropped, inferred, passed, pulledBack, scoped, summed } from './calls.ts'
import { joinShares, sharingOf, takeShare } from './lanes.ts'
import { PARAMETERS, lower, tensorOf } from './lower.ts'
import type { Backend, ForwardOptions, Gradients, Kept, Model, Passed } from '../backend.ts'
import type { EagerRung } from '../eager.ts'
import type { Lowered } from './lower.ts'
import type { Lane } from './lanes.ts'
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
    liveTensors: () => rung.tf.memory().numTensors + sessions.staged,
    dispose: () => {}
  }
}

interface Session {
  run (feeds: Feeds, fetches: readonly string[]): tfjs.Tensor[]
  /** A number that no other pass through this graph has. */
  nextPass (): number
  /** Says that tensors were left inside, or taken from there again. */
  count (staged: number): void
  /** Ends one user's share; with the last of them everything goes that was left inside. */
  close (): void
  isOpen (): boolean
}

/** Loaded graphs by content: TensorFlow optimises a graph once, however many models run it. */
class Sessions {
  readonly #native: SavedModels
  readonly #open = new Map<string, { readonly id: number, users: number, passes: number }>()

  #staged = 0

  constructor (backend: object) {
    if (!('runSavedModel' in backend)) throw new BackendError('graphs are compiled by TensorFlow only')
    this.#native = backend as SavedModels
  }

  /** Tensors that forward passes left inside. */
  get staged (): number { return this.#staged }

  /** @throws {BackendError} TensorFlow does not accept the graph */
  open (graph: Uint8Array): Session {
    const native = this.#native
    const key = createHash('sha256').update(graph).digest('base64')
    const session = this.#open.get(key) ?? { id: load(native, graph), users: 0, passes: 0 }
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
      nextPass: () => session.passes++,
      count: staged => { this.#staged += staged },
      close: () => {
        if (--session.users > 0) return
        this.#open.delete(key)
        native.deleteSavedModel(session.id)
      },
      isOpen: () => session.users > 0
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
  readonly pass: Pass
  readonly #release: () => void
  open = true

  constructor (owner: CompiledModel, pass: Pass, release: () => void) {
    this.owner = owner
    this.pass = pass
    this.#release = release
  }

  get groups (): number { return this.pass.groups }

  release (): void {
    if (!this.open) return
    this.open = false
    this.#release()
  }
}

interface Pass {
  readonly feeds: Map<string, tfjs.Tensor>
  readonly sizes: ReadonlyMap<string, number>
  readonly groups: number
  readonly lanes: readonly Lane[]
  /** Forward left values inside TensorFlow. */
  staged: boolean
}

class CompiledModel implements Model {
  readonly parameterCount: number
  readonly #tf: Tf
  readonly #program: Program
  readonly #lowered: Lowered
  readonly #session: Session
  readonly #lanesFor: (sizes: ReadonlyMap<string, number>) => readonly Lane[]
  /** Computed forward values that backward reads; inputs and parameters are at hand anyway. */
  readonly #saved: number
  /** Inputs that backward reads. */
  readonly #savedInputs: ReadonlySet<string>
  #parameters: tfjs.Tensor | undefined
  #disposed = false

  constructor (tf: Tf, program: Program, sessions: Sessions) {
    this.#tf = tf
    this.#program = program
    this.parameterCount = program.graph.parameterCount
    this.#lowered = lower(program)
    this.#lanesFor = sharingOf(program)
    const saved = program.saved.map(id => program.nodes[id] as Node)
    const computed = new Map(saved.filter(({ op }) => op.kind !== 'input' && op.kind !== 'parameter').map(({ id, shape }) => [tensorOf(id), shape]))
    const { nodes, functions } = callsOf(this.#lowered, computed, threadsInUse())
    this.#session = sessions.open(encodeSavedModel(nodes, functions))
    this.#saved = computed.size
    this.#savedInputs = new Set(saved.filter(({ op }) => op.kind === 'input').map(({ id }) => tensorOf(id)))
  }

  setParameters (flat: Float32Array): void {
    if (flat.length !== this.parameterCount) throw new InvalidParametersError(`model has ${this.parameterCount} parameters, got ${flat.length}`)
    this.#parameters?.dispose()
    // TensorFlow computes on this very memory where it happens to be aligned
    this.#parameters = this.#tf.tensor1d(flat.slice(), 'float32')
  }

  async forward (inputs: Readonly<Record<string, TensorData>>, options: ForwardOptions = {}): Promise<Passed> {
    const { groups = 1, keep = 'values' } = options
    const pass = this.#begin(inputs, groups)
    const kept = new Held(this, pass, () => this.#end(pass))
    try {
      const stages = keep === 'values' && this.#saved > 0
      const outputs = await this.#outputs(pass, stages ? passed : inferred)
      if (stages) this.#setStaged(pass, true)
      if (keep === 'values') this.#dropUnread(pass)
      return { outputs, kept }
    } catch (err) {
      kept.release()
      throw err
    }
  }

  async infer (inputs: Readonly<Record<string, TensorData>>): Promise<Readonly<Record<string, TensorData>>> {
    const pass = this.#begin(inputs, 1)
    try {
      return await this.#outputs(pass, inferred)
    } finally {
      this.#end(pass)
    }
  }

  async backward (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    try {
      return await this.#pullBack(this.#own(kept).pass, seeds, 'taken')
    } finally {
      kept.release()
    }
  }

  async backwardKeep (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    return await this.#pullBack(this.#own(kept).pass, seeds, 'seen')
  }

  dispose (): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#parameters?.dispose()
    this.#parameters = undefined
    this.#session.close()
  }

  #own (kept: Kept): Held {
    if (!(kept instanceof Held) || kept.owner !== this || !kept.open) throw new InvalidParametersError('backward: this forward pass has already been used up')
    return kept
  }

  async #pullBack (pass: Pass, seeds: Readonly<Record<string, TensorData>>, staged: 'taken' | 'seen'): Promise<Gradients> {
    const { inputGradients } = this.#lowered
    const { lanes, sizes } = pass
    const source = pass.staged ? staged : 'again'
    const given = new Map<string, tfjs.Tensor>()
    let results: tfjs.Tensor[] = []
    try {
      for (const [name, id] of this.#program.seeds) this.#share(given, tensorOf(id), seedFor(name, seeds, this.#program.nodes[id] as Node, sizes), pass)
      if (source === 'taken') this.#setStaged(pass, false)
      const wanted = lanes.flatMap(({ scope }) => [...inputGradients.values()].map(name => pulledBack(scope, source, name)))
      results = this.#session.run(new Map([...pass.feeds, ...given]), [...wanted, summed(lanes.length, source)])
      const parameters = results.at(-1) as tfjs.Tensor
      return { inputs: await this.#download(inputGradients, results, pass), parameters: await parameters.data() as Float32Array }
    } finally {
      for (const tensor of [...given.values(), ...results]) tensor.dispose()
    }
  }

  async #outputs (pass: Pass, nameOf: (scope: string, output: string) => string): Promise<Record<string, TensorData>> {
    const { outputs } = this.#lowered
    const results = this.#session.run(pass.feeds, pass.lanes.flatMap(({ scope }) => [...outputs.values()].map(name => nameOf(scope, name))))
    try {
      return await this.#download(outputs, results, pass)
    } finally {
      for (const tensor of results) tensor.dispose()
    }
  }

  /** Inputs, shapes and a share in the parameters, all owned by the pass. */
  #begin (inputs: Readonly<Record<string, TensorData>>, groups: number): Pass {
    const { graph } = this.#program
    if (this.#parameters === undefined) throw new BackendError('forward before setParameters')
    const sizes = bindInputs(this.#program, inputs, groups)
    const feeds = new Map<string, tfjs.Tensor>([[PARAMETERS, this.#parameters.clone()], [PASS, this.#tf.scalar(this.#session.nextPass(), 'int32')]])
    const pass = { feeds, sizes, groups, lanes: this.#lanesFor(sizes), staged: false }
    for (const { scope, share } of pass.lanes) {
      const own = share === undefined ? sizes : new Map([...sizes, ['B', share.rows * groups]])
      for (const [name, shape] of this.#lowered.shapes) feeds.set(scoped(scope, name), this.#tf.tensor1d(resolveShape(shape, own), 'int32'))
    }
    for (const [name, id] of graph.inputs) this.#share(feeds, tensorOf(id), inputs[name] as TensorData, pass)
    return pass
  }

  #share (feeds: Map<string, tfjs.Tensor>, name: string, given: TensorData, { groups, lanes }: Pass): void {
    for (const lane of lanes) {
      const { data, shape } = takeShare(given, groups, lane)
      feeds.set(scoped(lane.scope, name), this.#tf.tensor(data, [...shape], 'float32'))
    }
  }

  /** tfjs-node copies values out, so the arrays are the caller's own. */
  async #download (names: ReadonlyMap<string, string>, tensors: readonly tfjs.Tensor[], { groups, lanes }: Pass): Promise<Record<string, TensorData>> {
    const values: Record<string, TensorData> = {}
    for (const [i, name] of [...names.keys()].entries()) {
      const parts: TensorData[] = []
      for (const lane of lanes.keys()) {
        const tensor = tensors[lane * names.size + i] as tfjs.Tensor
        parts.push({ shape: [...tensor.shape], data: await tensor.data() as Float32Array })
      }
      values[name] = joinShares(parts, groups, lanes)
    }
    return values
  }

  #dropUnread ({ feeds, lanes }: Pass): void {
    for (const id of this.#program.graph.inputs.values()) {
      if (this.#savedInputs.has(tensorOf(id))) continue
      for (const { scope } of lanes) {
        feeds.get(scoped(scope, tensorOf(id)))?.dispose()
        feeds.delete(scoped(scope, tensorOf(id)))
      }
    }
  }

  #setStaged (pass: Pass, staged: boolean): void {
    pass.staged = staged
    this.#session.count((staged ? 1 : -1) * this.#saved * pass.lanes.length)
  }

  #end (pass: Pass): void {
    try {
      if (!pass.staged) return
      this.#setStaged(pass, false)
      if (this.#session.isOpen()) for (const tensor of this.#session.run(pass.feeds, pass.lanes.map(({ scope }) => dropped(scope)))) tensor.dispose()
    } finally {
      for (const tensor of pass.feeds.values()) tensor.dispose()
      pass.feeds.clear()
    }
  }
}

function firstLine (err: unknown): string {
  return ((err as Error).message.split('\n', 1)[0] ?? '').trim()
}
