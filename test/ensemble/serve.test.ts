import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { serve } from '../../src/ensemble/serve.ts'
import { InvalidParametersError } from '../../src/errors.ts'

const ensemble = [0.5, 0.6, 0.4, 0.5, 0.7, 0.3]
const shifted = (by: readonly number[]): number[] => ensemble.map((x, i) => x + (by[i % by.length] as number))

const CASES: Array<{ id: string, candidates: Array<{ id: string, losses: number[] }>, want: string, k?: number, says: RegExp }> = [
  { id: 'stays with the ensemble when local is better by chance only', candidates: [{ id: 'local', losses: shifted([-0.5, 0.45]) }, { id: 'ensemble', losses: ensemble }], want: 'ensemble', says: /nearest rival with a loss difference of -0\.0250 \(standard error 0\.2\d+, 6 rows\)/ },
  { id: 'leaves it for a candidate that is better on every row', candidates: [{ id: 'ensemble', losses: ensemble }, { id: 'federated', losses: shifted([-0.1, -0.12]) }], want: 'federated', says: /federated instead of ensemble: a loss difference of -0\.1100/ },
  { id: 'takes the largest gain of two winners', candidates: [{ id: 'local', losses: shifted([-0.1, -0.12]) }, { id: 'ensemble', losses: ensemble }, { id: 'federated', losses: shifted([-0.2, -0.22]) }], want: 'federated', says: /-0\.2100/ },
  { id: 'a constant gain has no error and counts', candidates: [{ id: 'ensemble', losses: [1, 1, 1] }, { id: 'local', losses: [0.5, 0.5, 0.5] }], want: 'local', says: /standard error 0\.0000/ },
  { id: 'equal losses are no reason to leave', candidates: [{ id: 'local', losses: ensemble }, { id: 'ensemble', losses: ensemble }], want: 'ensemble', says: /nearest rival/ },
  { id: 'of two equal winners the first given is served', candidates: [{ id: 'ensemble', losses: [1, 1, 1] }, { id: 'b', losses: [0, 0, 0] }, { id: 'a', losses: [0, 0, 0] }], want: 'b', says: /b instead of/ },
  { id: 'one row is no evidence', candidates: [{ id: 'local', losses: [0] }, { id: 'ensemble', losses: [9] }], want: 'ensemble', says: /1 hold-out row says nothing/ },
  { id: 'no rows are no evidence', candidates: [{ id: 'local', losses: [] }, { id: 'ensemble', losses: [] }], want: 'ensemble', says: /0 hold-out rows say nothing/ },
  { id: 'a candidate with a loss of NaN is out', candidates: [{ id: 'ensemble', losses: ensemble }, { id: 'local', losses: [NaN, 0, 0, 0, 0, 0] }], want: 'ensemble', says: /local is out: its loss is not finite/ },
  { id: 'a default with a loss of NaN hands over to the first usable candidate', candidates: [{ id: 'ensemble', losses: [NaN, 1, 1] }, { id: 'local', losses: [1, 2, 1] }, { id: 'federated', losses: [1, 1, 2] }], want: 'local', says: /ensemble cannot be served, so local is the default/ },
  { id: 'one candidate alone is served', candidates: [{ id: 'local', losses: [1, 2] }], want: 'local', says: /there is no other candidate/ },
  { id: 'k = 1 leaves where k = 2 stays', candidates: [{ id: 'ensemble', losses: [1, 1, 1, 1] }, { id: 'local', losses: [0.9, 1.05, 0.85, 1] }], k: 1, want: 'local', says: /more than 1 standard errors/ },
  { id: 'k = 2 stays where k = 1 leaves', candidates: [{ id: 'ensemble', losses: [1, 1, 1, 1] }, { id: 'local', losses: [0.9, 1.05, 0.85, 1] }], want: 'ensemble', says: /leaving needs more than 2/ }
]
for (const { id, candidates, want, k, says } of CASES) {
  test(`serving: ${id}`, (t) => {
    const { served, reason, table } = serve({ candidates, ...(k === undefined ? {} : { k }) })
    t.is(served, want)
    t.regex(reason, says)
    t.deepEqual(table.map((row) => row.id), candidates.map((c) => c.id))
  })
}

test('the table holds mean loss, paired difference and its standard error', (t) => {
  const { table } = serve({ candidates: [{ id: 'ensemble', losses: [1, 2, 3] }, { id: 'local', losses: [1, 1, 1] }] })
  t.deepEqual(table, [
    { id: 'ensemble', rows: 3, loss: 2, difference: 0, standardError: 0, usable: true },
    { id: 'local', rows: 3, loss: 1, difference: -1, standardError: Math.sqrt(1 / 3), usable: true }
  ])
})

testProp('whatever is served instead of the default has a lower mean loss on the hold-out', [
  fc.array(fc.tuple(...[0, 1, 2].map(() => fc.double({ min: 0, max: 5, noNaN: true }))), { minLength: 0, maxLength: 40 })
], (t, rows) => {
  const candidates = ['ensemble', 'local', 'federated'].map((id, c) => ({ id, losses: rows.map((row) => row[c] as number) }))
  const { served, table } = serve({ candidates })
  const row = table.find((r) => r.id === served)
  t.true(served === 'ensemble' || (row !== undefined && row.difference < 0 && row.difference < -2 * row.standardError))
})

const REFUSED: Array<{ id: string, candidates: Array<{ id: string, losses: number[] }>, k?: number }> = [
  { id: 'no candidates', candidates: [] },
  { id: 'different numbers of rows', candidates: [{ id: 'a', losses: [1] }, { id: 'b', losses: [1, 2] }] },
  { id: 'two candidates of one id', candidates: [{ id: 'a', losses: [1] }, { id: 'a', losses: [1] }] },
  { id: 'candidates that are all out', candidates: [{ id: 'a', losses: [NaN] }] },
  { id: 'a negative k', candidates: [{ id: 'a', losses: [1] }], k: -1 }
]
for (const { id, candidates, k } of REFUSED) {
  test(`serving refuses ${id}`, (t) => {
    t.throws(() => serve({ candidates, ...(k === undefined ? {} : { k }) }), { instanceOf: InvalidParametersError })
  })
}
