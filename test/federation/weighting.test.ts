import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { charterHash, readCharter } from '../../src/federation/charter.ts'
import { smallCharter } from '../helpers/federation.ts'
import { weightingNames } from '../../src/weighting/index.ts'
import { backendOn } from '../helpers/rungs.ts'
import { expectFall, shortTraining } from '../helpers/short-training.ts'
import { LEVEL, SIDE } from '../helpers/synthetic.ts'
import type { CharterOptions } from '../../src/federation/charter.ts'

const backend = await backendOn('wasm')

for (const weighting of weightingNames) {
  test.serial(`a short training with losses weighed by ${weighting}: losses fall, twice the same, not as without`, async t => {
    const { result, steps } = await shortTraining(backend, { weighting })
    expectFall(t, steps)
    t.deepEqual((await shortTraining(backend, { weighting })).result.fingerprints, result.fingerprints)
    t.not((await shortTraining(backend, {})).result.fingerprints.host, result.fingerprints.host)
  })

  test(`a charter with ${weighting} is read back, and is another one than without`, t => {
    const [charter, plain] = [smallCharter([LEVEL, SIDE], { projection: { weighting } }), smallCharter([LEVEL, SIDE])]
    t.deepEqual(readCharter(JSON.parse(JSON.stringify(charter))), charter)
    t.not(charterHash(charter), charterHash(plain))
    t.false('weighting' in plain.projection)
  })
}

const REFUSED: ReadonlyArray<{ id: string, changes: Partial<CharterOptions> }> = [
  { id: 'of no known name', changes: { projection: { weighting: 'gradnom' as 'gradnorm' } } },
  { id: 'where the whole model is at the client', changes: { model: { trunk: 'client' }, projection: { weighting: 'dwa' } } },
  { id: 'of rows per task that are brought to one length', changes: { projection: { weighting: 'dwa', unit: 'task', balance: 'norm' } } }
]
for (const { id, changes } of REFUSED) {
  test(`a weighting ${id} is refused`, t => {
    const error = t.throws(() => smallCharter([LEVEL, SIDE], changes), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /weighting/)
    t.true((error?.next ?? '').length > 0)
  })
}
