/**
 * tfjs compiled to WebAssembly: where native code cannot load. SIMD where the processor has it; one thread, because the
 * sum of a product then has one order, and the threaded build needs a browser's worker.
 */
import { createRequire } from 'node:module'
import { dirname, sep } from 'node:path'
import { usableMemoryBytes, withoutProcessListeners } from '../compat.ts'
import type { Rung } from './rung.ts'

const require = createRequire(import.meta.url)

/** wasm addresses are 32 bits wide; emscripten keeps the last 64 KiB page back. */
const WASM_MEMORY_BYTES = 2 ** 32 - 65_536

export async function loadWasm (): Promise<Rung> {
  const tf = require('@tensorflow/tfjs-core') as Rung['tf']
  const wasm = require('@tensorflow/tfjs-backend-wasm') as typeof import('@tensorflow/tfjs-backend-wasm')
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
  wasm.setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep)
  if (!await withoutProcessListeners(async () => await tf.setBackend('wasm'))) {
    throw new Error('the WebAssembly module did not start')
  }
  return { name: 'wasm', tf, memoryBytes: Math.min(usableMemoryBytes(), WASM_MEMORY_BYTES), software: false }
}
