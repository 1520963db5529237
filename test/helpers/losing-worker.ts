/** A compute worker that gives its graphics device away when told so on the channel 'lose-device', as a driver reset would. */
import { createRequire } from 'node:module'
import type * as tfjs from '@tensorflow/tfjs-core'

const channel = new BroadcastChannel('lose-device')
channel.onmessage = () => {
  const tf = createRequire(import.meta.url)('@tensorflow/tfjs-core') as typeof tfjs
  (tf.backend() as unknown as { readonly device: { destroy: () => void } }).device.destroy()
}
;(channel as unknown as { unref: () => void }).unref() // must not keep the thread alive
await import('../../src/compute/worker.ts')
