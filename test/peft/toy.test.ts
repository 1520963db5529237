/**
 * What the aggregation rules do to learning, at toy scale over four seeds (../helpers/toy-lora.ts). Not that FLoRA or FFA is
 * more accurate than FedIT: with few local steps from a common start it is the other way round.
 */
import test from 'ava'
import { toyDomain, tuneToy } from '../helpers/toy-lora.ts'
import type { Outcome, Tuning } from '../helpers/toy-lora.ts'

const domains = [0, 1, 2, 3].map(toyDomain)
const NOISE = 0.05
const RULES = ['fedit', 'ffa', 'flora', 'svd'] as const
/** Products of float64 numbers, summed in another order. */
const EXACT = 1e-12

function meanOf (tuning: Tuning): Outcome {
  const outcomes = domains.map(domain => tuneToy(domain, tuning))
  const mean = (key: keyof Outcome): number => outcomes.reduce((sum, outcome) => sum + outcome[key], 0) / outcomes.length
  return { before: mean('before'), after: mean('after'), error: mean('error') }
}

const quiet = new Map((['full', ...RULES] as const).map(rule => [rule, meanOf({ rule })]))
const loud = new Map((['fedit', 'ffa', 'flora'] as const).map(rule => [rule, meanOf({ rule, noise: NOISE })]))
const of = (outcomes: ReadonlyMap<string, Outcome>, rule: string): Outcome => outcomes.get(rule) as Outcome

for (const rule of RULES) {
  test(`${rule} gains five points and more over the frozen net, and stays within eight of tuning all of it`, t => {
    const { before, after } = of(quiet, rule)
    t.log(`${before} before, ${after} after, ${of(quiet, 'full').after} with everything tuned`)
    t.true(after - before >= 0.05)
    t.true(of(quiet, 'full').after - after <= 0.08)
  })
}

test('FFA and FLoRA put products together exactly, with noise on what is sent too; FedIT does not', t => {
  for (const outcomes of [quiet, loud]) for (const rule of ['ffa', 'flora']) t.true(of(outcomes, rule).error < EXACT, rule)
  t.true(of(quiet, 'fedit').error > 1e-3)
})

test('FedIT\'s error grows with noise and with local steps', t => {
  t.true(of(loud, 'fedit').error > 2 * of(quiet, 'fedit').error)
  t.true(of(quiet, 'fedit').error > 2 * meanOf({ rule: 'fedit', localSteps: 2 }).error)
})

test('noise costs FFA less accuracy than FedIT', t => {
  const lost = (rule: string): number => of(quiet, rule).after - of(loud, rule).after
  t.log(`FedIT loses ${lost('fedit')}, FFA ${lost('ffa')}, FLoRA ${lost('flora')}`)
  t.true(lost('ffa') < lost('fedit'))
})
