/**
 * The frozen weights by name. Adapters fit one W0 alone, so every upload says which one it was made for, and whoever holds
 * another refuses it. A base that rounds leave alone is named by its content; one that the stacks of a round were added to by
 *
 *     hash(old name, sorted hashes of the adapters)
 *
 * so that peers which merged the same set agree without hashing the whole base once more.
 */
import { createHash } from 'node:crypto'
import { fingerprintOf } from '../training/saved-state.ts'

const DIGITS = 16

/** Name of weights by their content, 16 hex digits. */
export function baseOf (weights: Float32Array): string { return fingerprintOf([['trunk', weights]]) }

/** Name of the base after the adapters of a round were added to it, in whatever order they came. */
export function nextBase (base: string, adapters: readonly string[]): string {
  return createHash('sha256').update([base, ...[...adapters].sort()].join('\n')).digest('hex').slice(0, DIGITS)
}

/** Names as numbers of 0 to 15, which every codec of the wire keeps. */
export function digitsOf (names: readonly string[]): Float32Array {
  return Float32Array.from(names.flatMap(name => [...name].map(digit => Number.parseInt(digit, 16))))
}

export function namesOf (digits: Float32Array): string[] {
  const text = [...digits].map(digit => (Math.round(digit) & 15).toString(16)).join('')
  return text.match(new RegExp(`.{${DIGITS}}`, 'g')) ?? []
}

/** Numbers that one name takes. */
export const NAME_NUMBERS = DIGITS
