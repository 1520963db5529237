/**
 * The compute ladder: GPU, native CPU, WebAssembly, plain JavaScript. Tried from the top, each fall said in one line, so
 * that a node always computes and its owner always knows on what. A rung that loads but multiplies wrong has not loaded.
 */
import { BackendError } from '../errors.ts'
import { loadCpu } from './rungs/cpu.ts'
import { loadTensorFlow } from './rungs/tensorflow.ts'
import { loadWasm } from './rungs/wasm.ts'
import { loadWebgpu } from './rungs/webgpu.ts'
import type { Rung, RungName } from './rungs/rung.ts'

export type { Rung, RungName } from './rungs/rung.ts'

/**
 * Positions times parameters below which a pass waits for a graphics device more than it computes: every operation is sent
 * there on its own. On an H100 beside 16 cores, 32 rows of 16 tokens through 0.8 M parameters (2^28.6) took 54 ms and
 * TensorFlow 32; 64 tokens through 1.8 M (2^31.8) 82 and 115.
 */
const GPU_WORTH = 2 ** 30

/** Top down. */
export const RUNGS: readonly RungName[] = ['webgpu', 'tensorflow', 'wasm', 'cpu']

const LOADERS: Readonly<Record<RungName, () => Promise<Rung>>> = {
  webgpu: loadWebgpu,
  tensorflow: loadTensorFlow,
  wasm: loadWasm,
  cpu: loadCpu
}

/** What to type when a rung that should load does not. */
const NEXT: Readonly<Partial<Record<RungName, string>>> = {
  tensorflow: 'fmtl-node doctor --fix'
}

export function isRungName (name: string): name is RungName {
  return (RUNGS as readonly string[]).includes(name)
}

/** @throws {BackendError} one line: which rung, and why it does not serve */
export async function loadRung (name: RungName): Promise<Rung> {
  try {
    const rung = await LOADERS[name]()
    await rung.tf.ready()
    await checkProduct(rung)
    return rung
  } catch (err) {
    const next = NEXT[name]
    throw new BackendError(`${name} does not load: ${oneLine(err)}`, next == null ? { cause: err } : { cause: err, next })
  }
}

/** The order in which rungs are tried for passes of so many positions times parameters. */
export function rungsFor (work: number): readonly RungName[] {
  return work < GPU_WORTH ? ['tensorflow', ...RUNGS.filter(name => name !== 'tensorflow')] : RUNGS
}

export interface LadderOptions {
  /** Start here instead of at the top. Asked for by name, a software GPU counts too, and a real one for small passes. */
  prefer?: RungName | undefined
  /** Positions times parameters of one pass of what is to be computed; small ones go to TensorFlow first. Default: large. */
  work?: number
  /** One line for each rung that was tried and does not serve. */
  onFall?: (line: string) => void
}

/** @throws {BackendError} not even plain JavaScript loads */
export async function loadBestRung (options: LadderOptions = {}): Promise<Rung> {
  const { prefer, work = Infinity, onFall } = options
  const falls: string[] = []
  for (const name of prefer == null ? rungsFor(work) : RUNGS.slice(RUNGS.indexOf(prefer))) {
    try {
      const rung = await loadRung(name)
      if (!rung.software || name === prefer) return rung
      rung.tf.removeBackend(name)
      throw new BackendError(`${name} is left out: its only adapter is software`)
    } catch (err) {
      if (!(err instanceof BackendError)) throw err
      falls.push(err.message)
      onFall?.(err.message)
    }
  }
  throw new BackendError(`no rung loads: ${falls.join('; ')}`, { next: 'npm run setup' })
}

/** [[1, 2, 3], [4, 5, 6]] times [[7, 8], [9, 10], [11, 12]]: small enough to check by hand, exact in every float format. */
async function checkProduct ({ tf }: Rung): Promise<void> {
  const product = tf.tidy(() => tf.matMul(tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]), tf.tensor2d([7, 8, 9, 10, 11, 12], [3, 2])))
  try {
    const got = [...await product.data()].join()
    if (got !== '58,64,139,154') throw new Error(`a 2 x 2 product came out as [${got}] instead of [58,64,139,154]`)
  } finally {
    product.dispose()
  }
}

/** Native loaders' errors run over many lines with whole paths; the first line and the file names are the reason. */
function oneLine (err: unknown): string {
  const text = err instanceof Error ? err.message : String((err as { message?: unknown } | undefined)?.message ?? err)
  return (text.split('\n', 1)[0] ?? '').replace(/(?:\/[^\s:/]+)+\/([^\s:/]+)/g, '$1').trim()
}
