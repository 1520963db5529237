/**
 * The kernels in plain JavaScript: what ./simd.ts does where there is WebAssembly SIMD, in the same order and so with the
 * same bits. A product of two rows is the sum over even elements plus the sum over odd elements; a combination adds
 * its four terms one after the other to what is there. Optimiser steps work in float32, as moments are kept.
 */
import { SLOT_BYTES } from './layout.ts'
import type { AdamTerms, Kernels } from './layout.ts'

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
    },
    descend (values, step, rate, decay, bytes) {
      const { fround } = Math
      const [rates, decays, to, from] = [fround(rate), fround(decay), values / 4, step / 4]
      for (let k = 0; k < bytes / 4; k++) {
        const value = thin[to + k] as number
        thin[to + k] = fround(value - fround(rates * (thin[from + k] as number))) - fround(decays * value)
      }
    },
    adam (first, second, gradient, terms, bytes) { adam(thin, [first / 4, second / 4, gradient / 4], terms, bytes / 4) }
  }
}

/** Every operation rounded to float32. Terms are rounded before anything else, 1 - beta from the unrounded beta. */
function adam (thin: Float32Array, [first, second, gradient]: readonly [number, number, number], { beta1, beta2, epsilon, correction1, correction2 }: AdamTerms, count: number): void {
  const { fround } = Math
  const [b1, r1, b2, r2] = [fround(beta1), fround(1 - beta1), fround(beta2), fround(1 - beta2)]
  const [c1, c2, eps] = [fround(correction1), fround(correction2), fround(epsilon)]
  for (let k = 0; k < count; k++) {
    const g = thin[gradient + k] as number
    const m = thin[first + k] = fround(fround(b1 * (thin[first + k] as number)) + fround(r1 * g))
    const v = thin[second + k] = fround(fround(b2 * (thin[second + k] as number)) + fround(fround(r2 * g) * g))
    thin[gradient + k] = fround(m * c1) / fround(fround(Math.sqrt(fround(v * c2))) + eps)
  }
}
