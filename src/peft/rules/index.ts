/** The aggregation rules of low-rank factors by name: one file each. */
import { fedit } from './fedit.ts'
import { ffa } from './ffa.ts'
import { flora } from './flora.ts'
import { svd } from './svd.ts'
import { zeroPad } from './zero-pad.ts'
import type { LoraRule } from './rule.ts'

export type { LoraRule, Role } from './rule.ts'

export const loraRules: readonly LoraRule[] = [fedit, ffa, flora, zeroPad, svd]
