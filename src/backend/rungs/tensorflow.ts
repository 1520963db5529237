/** TensorFlow's C library through @tensorflow/tfjs-node: the default on a CPU, 2 to 4 times as fast as wasm. */
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { prepareForTensorFlow, usableMemoryBytes } from '../compat.ts'
import { checkTensorFlowLibraries } from '../native-library.ts'
import type { Rung } from './rung.ts'

const require = createRequire(import.meta.url)

export async function loadTensorFlow (): Promise<Rung> {
  checkTensorFlowLibraries(dirname(require.resolve('@tensorflow/tfjs-node/package.json')))
  prepareForTensorFlow()
  require('@tensorflow/tfjs-node')
  const tf = require('@tensorflow/tfjs-core') as Rung['tf']
  await tf.setBackend('tensorflow')
  return { name: 'tensorflow', tf, memoryBytes: usableMemoryBytes(), software: false }
}
