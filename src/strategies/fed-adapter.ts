/** Bottleneck adapters behind every block of the trunk, averaged. Source: Houlsby et al., arXiv 1902.00751; Cai et al., arXiv 2205.10162. */
import { tuned } from './tuned.ts'

export const fedAdapter = tuned('fed-adapter', 'after Cai et al., arXiv 2205.10162', { kind: 'adapter' })
