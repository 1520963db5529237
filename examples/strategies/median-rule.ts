/**
 * A strategy from outside with a gradient rule of its own: at every coordinate of the backbone the median of the sites'
 * gradients, so that one site with strange gradients cannot pull the backbone its way (Yin et al., arXiv 1803.01498).
 *
 *     fmtl-node testnet up --strategy ./examples/strategies/median-rule.ts
 *
 * The file stands alone: only types and `node:` modules may be imported, and types are gone before it runs. Change it, and
 * its hash changes, and with it every charter that names it.
 */
import type { OutsideRule } from '../../src/projection/outside.ts'
import type { Strategy } from '../../src/strategies/index.ts'

export const strategy: Strategy = {
  name: 'median-backbone',
  source: 'after Yin et al., arXiv 1803.01498',
  // gradients meet at a host; with 'whole' they never leave their site, and there is no rule to choose
  kind: 'split',
  // `strict: update` keeps the promise of the built-in rules: the step that is applied works against no site
  projection: { rule: 'median', strict: 'update', balance: 'norm' },
  merge: { mode: 'select' }
}

export const rule: OutsideRule = {
  name: 'median',
  // two rows at least: a site that is alone has its gradient applied as it is
  aggregate (gradients) {
    const n = gradients.length
    const update = new Float32Array((gradients[0] as Float32Array).length)
    const values = new Float32Array(n) // a typed array sorts by value
    for (let k = 0; k < update.length; k++) {
      for (let i = 0; i < n; i++) values[i] = (gradients[i] as Float32Array)[k] as number
      values.sort()
      // with an even number the two in the middle share
      update[k] = ((values[(n - 1) >> 1] as number) + (values[n >> 1] as number)) / 2
    }
    return update
  }
}
