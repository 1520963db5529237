/** Learnt tokens before those of every row, averaged; they act through attention. Source: Zhao et al., arXiv 2208.12268. */
import { tuned } from './tuned.ts'

export const fedPrompt = tuned('fed-prompt', 'after Zhao et al., arXiv 2208.12268', { kind: 'prompt' })
