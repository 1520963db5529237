/**
 * How long one training step takes on this machine, with the trainers that will run it and both ways of training: part by
 * part where the trunk sits at a host, as a whole where it sits at the client. Client and host in one process, rows of the
 * site or blank ones of the same shape. No network and no file is touched.
 */
import { CODECS, decode, encode } from '../compression/index.ts'
import { ClientTrainer } from '../training/client-trainer.ts'
import { HostTrainer } from '../training/host-trainer.ts'
import { asFedAvg, asSplit } from './counterparts.ts'
import { describeClient } from '../training/client-description.ts'
import { inputName, inputOf } from '../models/inputs.ts'
import { elements } from '../tensor/tensor.ts'
import { localStepsOf } from '../training/spec.ts'
import type { Backend } from '../backend/backend.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { ClientDescription } from '../training/client-description.ts'
import type { CodecName } from '../compression/index.ts'
import type { LoadedRule } from '../projection/outside.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'

/** Milliseconds per step, each the median of the measured steps. */
export interface StepMs {
  /** At the client: rows to activations; heads forward and backward; the embedder's backward pass. */
  readonly embed: number
  readonly heads: number
  readonly finish: number
  /** The client's local baseline, which trains while the host computes. */
  readonly local: number
  /** At the host, per client: trunk forward, and backward. */
  readonly trunkForward: number
  readonly trunkBackward: number
  /** At the host, once per step: projection and optimiser. */
  readonly apply: number
}

/** Milliseconds of whole models, medians as well. */
export interface WholeMs {
  /** At the client, per gradient step of the whole model, and of a personal one where the charter asks for it. */
  readonly gradient: number
  /** At the host, per client and exchange: checking a contribution and averaging it. */
  readonly average: number
}

export interface DeviceSpeed {
  readonly backend: string
  readonly site: ClientDescription
  readonly ms: StepMs
  readonly whole: WholeMs
  /** Rows per second through embedder and heads, and through the trunk, forward and backward. */
  readonly clientRowsPerSecond: number
  readonly trunkRowsPerSecond: number
  /** Encoding and decoding one tensor of the cut, ms. */
  readonly codecMs: Readonly<Record<CodecName, number>>
}

/** The first passes compile and allocate. */
const WARM_STEPS = 2
/** A step takes from 5 ms to seconds: as many as fit, and enough for a median. */
const [MIN_STEPS, MAX_STEPS, BUDGET_MS] = [3, 25, 1_500]
const CODEC_RUNS = 25
/** Gradient steps of a measured contribution: copying and comparing weights takes a twentieth of one. */
const MEASURED_LOCAL_STEPS = 2

/** @param rule - the gradient rule, where the charter names one from a strategy file */
export async function measureDevice (backend: Backend, charter: Charter, data: ClientData, rule?: LoadedRule): Promise<DeviceSpeed> {
  const split = await measureSplit(backend, asSplit(charter), data, rule)
  const whole = await measureWhole(backend, charter.model.trunk === 'client' ? charter : asFedAvg(charter), data)
  return { ...split, whole, site: describeClient(charter, data) }
}

async function measureSplit (backend: Backend, charter: Charter, data: ClientData, rule: LoadedRule | undefined): Promise<Omit<DeviceSpeed, 'whole'>> {
  const client = new ClientTrainer(backend, charter, data, { control: false })
  const host = new HostTrainer(backend, charter, backend.memoryBytes, rule)
  const times = new Times<keyof StepMs>()
  const timed = times.measure.bind(times)
  try {
    const site = client.describe()
    let activations: Float32Array = new Float32Array(0)
    for (const goOn = underBudget(); goOn();) {
      const step = times.step++
      const sent = await timed('embed', async () => await client.forward(step))
      activations = sent.data
      await timed('local', async () => { await client.localStep(step) })
      const features = await timed('trunkForward', async () => (await host.forward([{ client: SITE, step, activations: sent }]))[0] as TensorData)
      const { featureGrads } = await timed('heads', async () => await client.backward(step, features))
      const [back] = await timed('trunkBackward', async () => await host.backward([{ client: SITE, step, featureGrads }]))
      if (back === undefined || !('tensor' in back)) throw new Error(back?.message)
      const shared: readonly NamedTensor[] = await timed('finish', async () => await client.finish(step, back.tensor))
      if (shared.length > 0) host.share(SITE, step, shared)
      await timed('apply', () => host.applyStep(step, [SITE]))
    }
    const ms = times.medians()
    return {
      backend: backend.name,
      site,
      ms,
      clientRowsPerSecond: 1000 * site.batch / (ms.embed + ms.heads + ms.finish),
      trunkRowsPerSecond: 1000 * site.batch / (ms.trunkForward + ms.trunkBackward),
      codecMs: Object.fromEntries(CODECS.map(codec => [codec, codecMs(codec, activations)])) as Record<CodecName, number>
    }
  } finally {
    client.dispose()
    host.dispose()
  }
}

async function measureWhole (backend: Backend, charter: Charter, data: ClientData): Promise<WholeMs> {
  const localSteps = Math.min(localStepsOf(charter.training), MEASURED_LOCAL_STEPS)
  const measured = { ...charter, training: { ...charter.training, localSteps } }
  const client = new ClientTrainer(backend, measured, data, { control: false, baseline: false })
  const host = new HostTrainer(backend, measured)
  const times = new Times<keyof WholeMs>()
  try {
    for (const goOn = underBudget(); goOn();) {
      const step = times.step++
      const { changes } = await times.measure('gradient', async () => await client.contribute(step))
      const { change } = await times.measure('average', () => {
        host.contribute(SITE, step, data.train.count, changes)
        return host.applyMean(step, [SITE])
      })
      if (charter.method === undefined) client.advance(change)
      else await client.receive(times.step, host.told(SITE, times.step))
    }
    const { gradient, average } = times.medians()
    return { gradient: gradient / localSteps, average }
  } finally {
    client.dispose()
    host.dispose()
  }
}

class Times<Part extends string> {
  step = 0
  readonly #all = new Map<Part, number[]>()

  async measure<T> (part: Part, body: () => T | Promise<T>): Promise<T> {
    const startedAt = performance.now()
    const value = await body()
    const took = performance.now() - startedAt
    if (this.step > WARM_STEPS) this.#all.set(part, [...this.#all.get(part) ?? [], took])
    return value
  }

  medians (): Record<Part, number> { return Object.fromEntries([...this.#all].map(([part, all]) => [part, median(all)])) as Record<Part, number> }
}

/** Whether there is time for another step. */
function underBudget (): () => boolean {
  const startedAt = performance.now()
  let steps = 0
  return () => steps++ < WARM_STEPS + MIN_STEPS || (steps <= MAX_STEPS && performance.now() - startedAt < BUDGET_MS)
}

/** A site of this charter without data: rows of zeros, for what depends on shapes only. Neither hold-out nor test rows. */
export function blankSite (charter: Charter): ClientData {
  const { input, training: { batch } } = charter
  const tasks = charter.tasks.filter(task => inputName(inputOf(charter, task)) === inputName(input))
  const rows = (count: number): Rows => ({
    count,
    x: new Float32Array(count * elements(input.shape)),
    y: Object.fromEntries(tasks.map(({ id, positions, targets }) => [id, new Float32Array(count * elements(positions) * targets)])),
    source: Int32Array.from({ length: count }, (_, i) => i)
  })
  return { id: SITE, input, tasks, train: rows(batch), holdout: rows(0), test: rows(0) }
}

const SITE = 'site'

function codecMs (codec: CodecName, data: Float32Array): number {
  const times: number[] = []
  for (let run = 0; run < CODEC_RUNS; run++) {
    const startedAt = performance.now()
    decode(codec, encode(codec, data), data.length)
    times.push(performance.now() - startedAt)
  }
  return median(times)
}

function median (values: readonly number[]): number { return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN }
