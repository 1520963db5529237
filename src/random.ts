/**
 * Seeded randomness. Everything random takes a `Random`; `Math.random` is never called in `src/`.
 * Generator: mulberry32. Derivation: murmur3's finaliser chained over the words of a label
 * (the same two functions define the procedural data set `scenes`).
 */

/** murmur3 32-bit finaliser. */
export function fmix (h: number): number {
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  h ^= h >>> 16
  return h >>> 0
}

/** Chains 32-bit words into one well-mixed seed. `mix(seed, client, index, stream)` is the form `scenes` uses. */
export function mix (seed: number, ...words: readonly number[]): number {
  let h = fmix(seed >>> 0)
  for (const v of words) {
    h = fmix((h ^ ((v >>> 0) + 0x9e3779b9 + (h << 6) + (h >>> 2))) >>> 0)
  }
  return h
}

/** A 32-bit seed for a named purpose: `deriveSeed(7, 'embed', 'image')`. Order of the labels matters. */
export function deriveSeed (seed: number, ...labels: ReadonlyArray<string | number>): number {
  let h = fmix(seed >>> 0)
  for (const label of labels) {
    if (typeof label === 'number') {
      h = mix(h, label)
    } else {
      for (let i = 0; i < label.length; i++) h = mix(h, label.charCodeAt(i))
      h = mix(h, 0x1f)
    }
  }
  return h
}

export class Random {
  #state: number
  #spare: number | undefined

  constructor (seed: number) { this.#state = seed >>> 0 }

  /** Uniform in [0, 1). */
  next (): number {
    const a = this.#state = (this.#state + 0x6D2B79F5) >>> 0
    let t = Math.imul(a ^ (a >>> 15), a | 1)
    t = (t ^ (t + Math.imul(t ^ (t >>> 7), t | 61))) >>> 0
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** Uniform integer in [0, n). */
  int (n: number): number { return Math.floor(this.next() * n) }

  /** Standard normal (Box-Muller, both halves used). */
  normal (): number {
    if (this.#spare !== undefined) {
      const value = this.#spare
      this.#spare = undefined
      return value
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()))
    const angle = 2 * Math.PI * this.next()
    this.#spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }

  /** A permutation of 0..n-1 (Fisher-Yates). */
  permutation (n: number): number[] {
    const order = Array.from({ length: n }, (_, i) => i)
    for (let i = n - 1; i > 0; i--) {
      const j = this.int(i + 1)
      const held = order[i] as number
      order[i] = order[j] as number
      order[j] = held
    }
    return order
  }
}
