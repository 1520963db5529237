/**
 * FLoRA: factors are stacked and added to the trunk, exactly and at any mix of ranks; all start again with fresh ones. A stack
 * above 32 rows is factored anew: beyond, it would be as long as the layers themselves. Source: Wang et al., arXiv 2409.05976.
 */
import { tuned } from './tuned.ts'

export const flora = tuned('flora', 'Wang et al., arXiv 2409.05976', { kind: 'lora', rule: 'flora', rankMax: 32 })
