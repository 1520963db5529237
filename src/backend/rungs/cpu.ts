/** tfjs in plain JavaScript: the last resort, some 100 times slower than TensorFlow. Loads wherever Node runs. */
import { createRequire } from 'node:module'
import { usableMemoryBytes } from '../compat.ts'
import type { Rung } from './rung.ts'

const require = createRequire(import.meta.url)

export async function loadCpu (): Promise<Rung> {
  const tf = require('@tensorflow/tfjs-core') as Rung['tf']
  tf.env().set('PROD', true) // or it prints an advertisement for tfjs-node on first use
  require('@tensorflow/tfjs-backend-cpu')
  await tf.setBackend('cpu')
  return { name: 'cpu', tf, memoryBytes: usableMemoryBytes(), software: false }
}
