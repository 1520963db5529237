import test from 'ava'
// Plain JavaScript: it runs before anything is installed.
// @ts-expect-error no declarations
import { TapCounter as Counter, formatSummary as format, verdict as judge } from '../../scripts/test-summary.mjs'

interface Counts { passed: number, failed: number, skipped: number }
const TapCounter = Counter as new () => { push: (chunk: string) => void, end: () => Counts }
const formatSummary = format as (counts: Counts) => string
const verdict = judge as (counts: Counts, status: number) => Counts & { ok: boolean, note: string }

const RUN = `TAP version 13
ok 1 - data > reads a table
not ok 2 - data > refuses a negative size
  ---
    name: AssertionError
    message: 'not ok 9 - is what the test printed'
  ...
ok 3 - data > a later one # SKIP
ok 4 - data > one to write # TODO
# not ok 5 - a comment of the test
ok 6 - numbers > issue # 12 is fixed
`

const rows = [
  { id: 'a whole run', tap: `${RUN}\n1..6\n# tests 5\n# pass 2\n# fail 1\n`, want: { passed: 2, failed: 1, skipped: 2 } },
  { id: 'a run that dies half-way', tap: RUN, want: { passed: 2, failed: 1, skipped: 2 } },
  { id: 'a last line without its end', tap: 'ok 1 - a\nok 2 - b', want: { passed: 2, failed: 0, skipped: 0 } },
  { id: 'nothing', tap: 'TAP version 13\n1..0\n', want: { passed: 0, failed: 0, skipped: 0 } }
]

for (const { id, tap, want } of rows) {
  test(`counts of ${id} do not depend on how the output arrives`, t => {
    for (const size of [1, 7, tap.length]) {
      const counter = new TapCounter()
      for (let at = 0; at < tap.length; at += size) counter.push(tap.slice(at, at + size))
      t.deepEqual(counter.end(), want, `in chunks of ${size}`)
    }
  })
}

test('a run without tests is not a success', t => {
  t.false(verdict({ passed: 0, failed: 0, skipped: 0 }, 0).ok)
  t.false(verdict({ passed: 0, failed: 0, skipped: 3 }, 0).ok)
})

test('a failure outside any test counts as one', t => {
  const result = verdict({ passed: 4, failed: 0, skipped: 0 }, 1)
  t.is(result.failed, 1)
  t.false(result.ok)
})

test('the summary line names skipped tests only where there are some', t => {
  t.is(formatSummary({ passed: 12, failed: 0, skipped: 0 }), '12 passed, 0 failed')
  t.is(formatSummary({ passed: 12, failed: 1, skipped: 2 }), '12 passed, 1 failed, 2 skipped')
})
