/**
 * The sweep behind test/shapes/fedbone.test.ts: 20 seeds, six host learning rates, and in every seed each rule at its own best
 * of them.
 */
import test from 'ava'
import { BEST, FACTORS, SEEDS, TOY, othersOf } from '../helpers/toy-sweep.ts'

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

for (const setting of ['equal', 'heavy'] as const) {
  test(`each rule at its best of ${FACTORS.length} host learning rates: ${setting} losses`, t => {
    const sweep = (rule: 'mean' | 'gp'): readonly number[] => {
      const rows = FACTORS.map(factor => ({ rate: factor * TOY[setting].headRate, others: othersOf(rule, setting, factor * TOY[setting].headRate) }))
      const best = rows.reduce((a, b) => mean(b.others) < mean(a.others) ? b : a)
      t.log(`${rule}: ${rows.map(({ rate, others }) => `${rate.toFixed(2)} -> ${mean(others).toFixed(4)}`).join(', ')}; best over all seeds at ${best.rate.toFixed(2)}`)
      t.true(Math.abs(best.rate - BEST[setting][rule]) < 1e-9, `the quick test takes ${rule} at its best`)
      return SEEDS.map((_, seed) => Math.min(...rows.map(({ others }) => others[seed] as number)))
    }
    const [gp, plain] = [sweep('gp'), sweep('mean')]
    const share = gp.filter((error, seed) => error < (plain[seed] as number)).length / SEEDS.length
    t.log(`best rate of each seed: gp ${mean(gp).toFixed(4)}, mean ${mean(plain).toFixed(4)}, gp lower in ${share} of the seeds`)
    if (setting === 'heavy') {
      t.true(share >= 0.75)
      t.true(mean(gp) <= 0.9 * mean(plain))
    } else {
      t.true(Math.abs(mean(gp) - mean(plain)) < 0.2 * mean(plain))
    }
  })
}
