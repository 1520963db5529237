/** The settings in which FedBone's toy is run, in the quick test and in the sweep behind it. */
import { createRule } from '../../src/projection/index.ts'
import { trainToyTrunk } from './toy-trunk.ts'
import type { GradientRule } from '../../src/projection/index.ts'

export const SEEDS = Array.from({ length: 20 }, (_, seed) => seed)

/** equal: all losses weigh the same; heavy: the first one 30 times as much, with steps as much shorter as it stays stable. */
export const TOY = {
  equal: { heavy: 1, headRate: 0.3 },
  heavy: { heavy: 30, headRate: 0.04 }
} as const

/** Host learning rates, in learning rates of the heads. */
export const FACTORS = [0.5, 1, 2, 4, 6, 9] as const

/** The best of the six over all seeds, as the sweep found them. */
export const BEST = {
  equal: { mean: 1.2, gp: 2.7 },
  heavy: { mean: 0.36, gp: 0.36 }
} as const

export function toyRule (name: 'mean' | 'gp' | 'strict'): GradientRule {
  return name === 'mean' ? createRule('mean') : createRule('gp', { attention: 'none', strict: name === 'strict' })
}

/** Error of the other tasks, by seed. */
export function othersOf (rule: 'mean' | 'gp' | 'strict', setting: keyof typeof TOY, trunkRate: number): readonly number[] {
  return SEEDS.map(seed => trainToyTrunk(toyRule(rule), { seed, ...TOY[setting], trunkRate }).others)
}
