/** A process that saves checkpoints until it is killed or fails, and prints each step that was acknowledged. */
import { CheckpointStore } from '../../node/store/checkpoints.ts'
import { FmtlError } from '../../src/errors.ts'

const [dir = '', from = '0', floats = '50000'] = process.argv.slice(2)
const store = new CheckpointStore(dir)
try {
  for (let step = Number(from); ; step++) {
    await store.save(step, [{ name: 'trunk', tensor: { shape: [Number(floats)], data: new Float32Array(Number(floats)).fill(step) } }])
    process.stdout.write(`${step}\n`)
  }
} catch (err) {
  if (!(err instanceof FmtlError)) throw err
  process.stderr.write(`${err.code} ${err.message}`)
}
