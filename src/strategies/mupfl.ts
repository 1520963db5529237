/**
 * MuPFL: for classes that are rare in different places; training without idle units, a mean over clusters of sites, and a last
 * layer of every site's own. Rule, options and what travels: src/methods/mupfl. Source: arXiv 2405.06413.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const mupfl: Strategy = {
  ...fedavg,
  name: 'mupfl',
  source: 'arXiv 2405.06413',
  method: { name: 'mupfl', tuneSteps: 50 }
}
