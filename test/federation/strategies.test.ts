import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { findStrategy, settingsOf, strategies } from '../../src/strategies/index.ts'
import { LEVEL, SIDE } from '../helpers/synthetic.ts'
import { smallCharter } from '../helpers/federation.ts'

for (const strategy of strategies) {
  test(`${strategy.name} is a charter that can be made`, t => {
    const { projection, merge, model, shared } = smallCharter([LEVEL, SIDE], settingsOf(strategy, {}, {}))
    t.deepEqual({ ...projection, ...strategy.projection }, projection)
    t.deepEqual({ ...merge, ...strategy.merge }, merge)
    t.is(model.trunk === 'client', strategy.kind === 'whole' || strategy.kind === 'peer')
    if (strategy.method === undefined) t.is(shared.includes('trunk'), strategy.kind === 'whole' && model.kind !== 'linear') // else what travels is the method's to say
    t.is(findStrategy(strategy.name), strategy)
    const corrected = { model: { sharedHeads: ['side'], correctedHeads: ['side'] } }
    t.notThrows(() => smallCharter([LEVEL, SIDE], settingsOf(strategy, corrected, {})), 'a recipe that corrects heads is no obstacle')
  })
}

test('MTSL averages gradients as they are, and hosts never meet', t => {
  const { projection, merge } = findStrategy('mtsl')
  t.like(smallCharter([LEVEL], { projection, merge }), { projection: { rule: 'mean', strict: 'off', balance: 'none' }, merge: { mode: 'none' } })
})

test('a strategy stands over the recipe, and what was agreed on over both', t => {
  const recipe = { model: { sharedEmbedder: false, width: 16 }, training: { stepsPerRound: 9, batch: 3 } }
  const settings = settingsOf(findStrategy('fedavg'), recipe, { training: { localSteps: 5 } })
  t.like(settings, { model: { sharedEmbedder: true, width: 16, trunk: 'client' }, training: { stepsPerRound: 1, batch: 3, localSteps: 5 } })
})

test('a strategy of no known name is refused with the names there are', t => {
  const error = t.throws(() => findStrategy('fedsomething'), { instanceOf: InvalidParametersError })
  t.is(error?.next, `use one of ${strategies.map(({ name }) => name).join(', ')}`)
})
