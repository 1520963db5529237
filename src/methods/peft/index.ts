/**
 * Parameter-efficient tuning: the trunk is frozen, and steps move and send small parts of it alone, low-rank corrections,
 * bottleneck adapters or learnt tokens. What the charter shares of embedder and heads trains and travels as ever, the rest
 * of them stays at its site.
 *
 *     lora     W = W0 + s B A at the target layers, put together by fedit, ffa, flora, zero-pad or svd (src/peft/rules)
 *     adapter  x + W2 gelu(W1 x + b1) + b2 behind every block, averaged
 *     prompt   learnt tokens before those of a row, averaged
 *
 * A random trunk teaches adapters little: `warm` first steps of FedAvg make one, or a pre-trained file does.
 * Sources: Woisetschlaeger et al., arXiv 2401.04472 (survey); of the rules and kinds, in their files.
 */
import { PeftHost } from './host.ts'
import { PeftPlan } from './plan.ts'
import { PeftSite } from './site.ts'
import { peftOptions } from './options.ts'
import type { Method } from '../method.ts'
import type { PeftOptions } from './options.ts'

export const peft: Method<PeftOptions> = {
  name: 'peft',
  foundation: true,
  options: peftOptions,
  exchange: (charter, options) => {
    const plan = new PeftPlan(charter, options)
    return { units: plan.units, up: plan.up, down: (name, numbers) => plan.tells(name, numbers) }
  },
  site: (init, options) => new PeftSite(init, new PeftPlan(init.charter, options)),
  host: (init, options) => new PeftHost(init, new PeftPlan(init.charter, options)),
  traffic: (charter, options) => new PeftPlan(charter, options).traffic
}
