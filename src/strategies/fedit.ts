/**
 * FedIT: low-rank corrections of the trunk's dense layers, both factors averaged. Source: Zhang et al., arXiv 2305.05644.
 */
import { tuned } from './tuned.ts'

export const fedit = tuned('fedit', 'Zhang et al., arXiv 2305.05644', { kind: 'lora', rule: 'fedit' })
