import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { findStrategy, strategies } from '../../src/strategies/index.ts'
import { LEVEL, SIDE } from '../helpers/synthetic.ts'
import { smallCharter } from '../helpers/federation.ts'

for (const strategy of strategies) {
  test(`${strategy.name} is a charter that can be made`, t => {
    const { projection, merge } = smallCharter([LEVEL, SIDE], { projection: strategy.projection, merge: strategy.merge })
    t.like(projection, strategy.projection)
    t.like(merge, strategy.merge)
    t.is(findStrategy(strategy.name), strategy)
  })
}

test('MTSL averages gradients as they are, and hosts never meet', t => {
  const { projection, merge } = findStrategy('mtsl')
  t.like(smallCharter([LEVEL], { projection, merge }), { projection: { rule: 'mean', strict: 'off', balance: 'none' }, merge: { mode: 'none' } })
})

test('a strategy of no known name is refused with the names there are', t => {
  const error = t.throws(() => findStrategy('fedsomething'), { instanceOf: InvalidParametersError })
  t.regex(error?.next ?? '', /fedbone, mtsl/)
})
