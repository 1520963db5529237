/** Rules from a strategy file: what they see, what surrounds them, and how one that misbehaves ends. */
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { InvalidParametersError, RuleError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { createRule, minDirectionCosine } from '../../src/projection/index.ts'
import { isOutside, outsideRule } from '../../src/projection/outside.ts'
import { openStrategy } from '../../src/strategies/outside.ts'
import type { LoadedRule, OutsideContext, OutsideInit, OutsideRule } from '../../src/projection/outside.ts'
import type { RuleContext } from '../../src/projection/index.ts'

const HASH = '0123456789abcdef'
const rows = (...values: number[][]): Float32Array[] => values.map(row => Float32Array.from(row))
const context = (ids: readonly string[], more: Partial<RuleContext> = {}): RuleContext => ({ ids, random: new Random(1), ...more })

function loaded (aggregate: unknown): LoadedRule {
  return { id: `mine#${HASH}`, file: './mine.ts', rule: { name: 'mine', aggregate } as OutsideRule }
}

function made (aggregate: unknown, init: Partial<OutsideInit> = {}): ReturnType<typeof outsideRule> {
  return outsideRule(loaded(aggregate), { strict: false, deadlineMs: 5_000, ...init })
}

test('the median of the example, by hand', async t => {
  const { rule } = await openStrategy(fileURLToPath(new URL('../../examples/strategies/median-rule.ts', import.meta.url)))
  const aggregate: OutsideRule['aggregate'] = (gradients, ctx) => (rule as LoadedRule).rule.aggregate(gradients, ctx)
  t.deepEqual([...made(aggregate).aggregate(rows([1, -9, 4], [2, 5, 8], [30, 6, 0]), context(['a', 'b', 'c'])).update], [2, 5, 4])
  t.deepEqual([...made(aggregate).aggregate(rows([1, 4], [3, -4]), context(['a', 'b'])).update], [2, 0])
})

test('the mean written as an outside rule is the mean, in the report too', t => {
  const mean: OutsideRule['aggregate'] = (gradients, { weights }) =>
    Float32Array.from((gradients[0] as Float32Array).keys(), k => gradients.reduce((sum, row, i) => sum + (weights[i] as number) * (row[k] as number), 0))
  const given = rows([1, 2, -3], [-2, 1, 0.5], [4, 0, 1])
  for (const strict of [false, true]) {
    for (const balance of [false, true]) {
      const ctx = () => context(['c', 'a', 'b'], { weights: [1, 2, 3], balance })
      const [got, want] = [made(mean, { strict }).aggregate(given, ctx()), createRule('mean', { strict }).aggregate(given, ctx())]
      got.update.forEach((value, k) => { t.true(Math.abs(value - (want.update[k] as number)) < 1e-6, `${strict} ${balance} ${k}`) })
      t.deepEqual({ ...got.stats, minDirectionCosine: 0, removedShare: 0 }, { ...want.stats, minDirectionCosine: 0, removedShare: 0 })
      t.true(Math.abs(got.stats.minDirectionCosine - want.stats.minDirectionCosine) < 1e-6 && Math.abs(got.stats.removedShare - want.stats.removedShare) < 1e-6)
    }
  }
})

test('it sees usable rows in the order of their ids, balanced, and what belongs to them', t => {
  const seen: OutsideContext[] = []
  const gradients: number[][] = []
  const rule = made((given: Float32Array[], ctx: OutsideContext) => {
    seen.push(ctx)
    gradients.push(...given.map(row => [...row]))
    return new Float32Array(2)
  })
  const history = Float32Array.of(1, 1)
  const { stats } = rule.aggregate(rows([0, 8], [0, 0], [2, 0], [Number.NaN, 1], [4, 0]), context(['e', 'd', 'c', 'b', 'a'], { weights: [1, 1, 2, 1, 1], balance: true, history }))
  t.deepEqual(gradients, [[4, 0], [4, 0], [0, 4]])
  t.like(seen[0], { ids: ['a', 'c', 'e'], norms: [4, 4, 4], history })
  t.deepEqual([...seen[0]?.weights ?? []], [0.25, 0.5, 0.25])
  t.deepEqual([...seen[0]?.gram ?? []], [16, 16, 0, 16, 16, 0, 0, 0, 16])
  t.like(stats, { rows: 3, dropped: 2, pairs: 3, conflictPairs: 0 })
})

test('what it writes into its rows and into the history stays there', t => {
  const given = rows([1, 2], [3, -1])
  const history = Float32Array.of(5, 6)
  const rule = made((gradients: Float32Array[], ctx: OutsideContext) => {
    const [first] = gradients as [Float32Array]
    for (const row of [...gradients, ctx.history as Float32Array, ctx.gram, ctx.weights]) row.fill(7)
    return first
  })
  const { update } = rule.aggregate(given, context(['a', 'b'], { history }))
  t.deepEqual([...update], [7, 7])
  t.deepEqual([given.map(row => [...row]), [...history]], [[[1, 2], [3, -1]], [5, 6]])
})

test('a row alone passes as it is, and no row at all gives nothing: the rule is not asked', t => {
  const rule = made(() => { throw new Error('asked') })
  t.deepEqual([...rule.aggregate(rows([3, 4]), context(['a'])).update], [3, 4])
  t.deepEqual([...rule.aggregate(rows([0, 0], [Number.NaN, 0]), context(['a', 'b'])).update], [0, 0])
})

test('strict ends in a direction that works against nobody', t => {
  const given = rows([1, 0.2, 0], [-0.9, 0.3, 0], [0, 0.1, 1])
  const against = (gradients: Float32Array[]): Float32Array => (gradients[0] as Float32Array)
  t.true(minDirectionCosine(made(against).aggregate(given, context(['a', 'b', 'c'])).update, given) < -0.5)
  const { update, stats } = made(against, { strict: true }).aggregate(given, context(['a', 'b', 'c']))
  t.true(minDirectionCosine(update, given) >= -1e-6 && stats.minDirectionCosine >= -1e-6)
  t.true(update.some(value => value !== 0))
})

const WRONG: ReadonlyArray<{ id: string, aggregate: unknown, message: RegExp }> = [
  { id: 'throws', aggregate: () => { throw new TypeError('no\nsuch thing') }, message: /threw TypeError: no such thing/ },
  { id: 'throws what is no error', aggregate: () => { throw 'a text' }, message: /threw a text/ }, // eslint-disable-line no-throw-literal
  { id: 'throws nothing', aggregate: () => { throw undefined }, message: /threw undefined/ }, // eslint-disable-line no-throw-literal
  { id: 'returns NaN', aggregate: () => Float32Array.of(1, Number.NaN), message: /returned NaN as number 2 of 2/ },
  { id: 'returns infinity', aggregate: () => Float32Array.of(-Infinity, 1), message: /returned -Infinity as number 1 of 2/ },
  { id: 'returns too few numbers', aggregate: () => new Float32Array(1), message: /returned 1 numbers for gradients of 2/ },
  { id: 'returns a list', aggregate: () => [1, 2], message: /must return a Float32Array, it returned Array/ },
  { id: 'returns nothing', aggregate: () => {}, message: /must return a Float32Array, it returned Undefined/ },
  { id: 'returns a promise', aggregate: async () => new Float32Array(2), message: /must return a Float32Array, it returned a promise/ },
  { id: 'never returns', aggregate: () => { for (;;); }, message: /took longer than the charter's clock\.stepDeadlineMs \(100 ms\)/ }
]
for (const { id, aggregate, message } of WRONG) {
  test(`a rule that ${id} ends with one line that names its file`, t => {
    const rule = made(aggregate, { deadlineMs: 100 })
    for (const turn of [1, 2]) {
      const error = t.throws(() => rule.aggregate(rows([1, 2], [3, 4]), context(['a', 'b'])), { instanceOf: RuleError, code: 'ERR_RULE', message }, `turn ${turn}`)
      t.regex(error?.message ?? '', /^\.\/mine\.ts: gradient rule 'mine' [^\n]+$/)
      t.truthy(error?.next)
    }
  })
}

test('our own refusals stay what they are', t => {
  t.throws(() => made(() => new Float32Array(2)).aggregate(rows([1, 2], [3, 4]), context(['a', 'a'])), { instanceOf: InvalidParametersError })
})

test('a charter\'s name of an outside rule is a name, a hash and nothing else', t => {
  for (const name of [`median#${HASH}`, `a1-b#${HASH}`]) t.true(isOutside(name), name)
  for (const name of ['median', `#${HASH}`, `Median#${HASH}`, `../x#${HASH}`, `median#${HASH}0`, `median#${HASH.toUpperCase()}`, `median#${HASH}\n`, `${'m'.repeat(33)}#${HASH}`, 7, null, [`median#${HASH}`]]) t.false(isOutside(name), String(name))
})
