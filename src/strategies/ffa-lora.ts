/**
 * FFA-LoRA: the random factor stays as the seed made it, the other one is averaged, exactly. Source: Sun et al., arXiv 2403.12313.
 */
import { tuned } from './tuned.ts'

export const ffaLora = tuned('ffa-lora', 'Sun et al., arXiv 2403.12313', { kind: 'lora', rule: 'ffa' })
