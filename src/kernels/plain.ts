/**
 * The kernels in plain JavaScript: what ./simd.ts does where there is WebAssembly SIMD, in the same order and so with the
 * same bits. A product of two rows is the sum over even elements plus the sum over odd elements; a combination adds
 * its four terms one after the other to what is there.
 */
import { SLOT_BYTES } from './layout.ts'
import type { Kernels } from './layout.ts'

export function plainKernels (): Kernels {
  let buffer = new ArrayBuffer(0)
  let wide = new Float64Array(buffer)
  let thin = new Float32Array(buffer)
  const products = (rows: number, columns: number, a: number, b: number, out: number, bytes: number): void => {
    for (let at = 0; at < rows * columns; at++) {
      const left = (a + Math.floor(at / columns) * SLOT_BYTES) / 8
      const right = (b + at % columns * SLOT_BYTES) / 8
      let even = 0
      let odd = 0
      for (let k = 0; k < bytes / 8; k += 2) {
        even += (wide[left + k] as number) * (wide[right + k] as number)
        odd += (wide[left + k + 1] as number) * (wide[right + k + 1] as number)
      }
      wide[out / 8 + at] = even + odd
    }
  }
  return {
    name: 'plain',
    get buffer () { return buffer },
    grow (bytes) {
      if (bytes <= buffer.byteLength) return
      buffer = buffer.transfer(bytes)
      wide = new Float64Array(buffer)
      thin = new Float32Array(buffer)
    },
    widen (from, to, bytes) {
      const [source, target] = [from / 4, to / 8]
      for (let k = 0; k < bytes / 8; k++) wide[target + k] = thin[source + k] as number
    },
    narrow (from, to, bytes) {
      const [source, target] = [from / 8, to / 4]
      for (let k = 0; k < bytes / 8; k++) thin[target + k] = wide[source + k] as number
    },
    products2x4: (a, b, out, bytes) => { products(2, 4, a, b, out, bytes) },
    products2x2: (a, b, out, bytes) => { products(2, 2, a, b, out, bytes) },
    products1x4: (a, b, out, bytes) => { products(1, 4, a, b, out, bytes) },
    addCombination (out, rows, c0, c1, c2, c3, bytes) {
      const to = out / 8
      const [r0, r1, r2, r3] = [rows / 8, (rows + SLOT_BYTES) / 8, (rows + 2 * SLOT_BYTES) / 8, (rows + 3 * SLOT_BYTES) / 8]
      for (let k = 0; k < bytes / 8; k++) {
        wide[to + k] = (wide[to + k] as number) + c0 * (wide[r0 + k] as number) + c1 * (wide[r1 + k] as number) +
          c2 * (wide[r2 + k] as number) + c3 * (wide[r3 + k] as number)
      }
    }
  }
}
