import test from 'ava'
import * as format from '../../node/cli/format.ts'

const { bar, bytes, clean, clock, count, displayWidth, duration, list, metric, pad, painter, percent, signed, sparkline, table, tableWidth, truncate, wrap } = format
const colour = painter(true, {})

const cases: Array<{ id: string, got: string, want: string }> = [
  ...([[0, '0 B'], [1023, '1023 B'], [1024, '1.0 KiB'], [1536, '1.5 KiB'], [1048575, '1.0 MiB'], [245 * 2 ** 20, '245 MiB'], [null, '-'], [NaN, '-']] as const)
    .map(([value, want]) => ({ id: `bytes ${value}`, got: bytes(value), want })),
  ...([[0.0123, '12 ms'], [0.9999, '1.0 s'], [3.44, '3.4 s'], [9.97, '10 s'], [59.7, '1 min 00 s'], [65, '1 min 05 s'], [7385, '2 h 03 min'], [null, '-']] as const)
    .map(([value, want]) => ({ id: `duration ${value}`, got: duration(value), want })),
  ...([[0, '0:00'], [42.9, '0:42'], [725, '12:05'], [3723, '1:02:03']] as const)
    .map(([value, want]) => ({ id: `clock ${value}`, got: clock(value), want })),
  ...([[0.12345, '0.123'], [-0.0001, '0.000'], [1234.5678, '1234.568'], [NaN, '-'], [undefined, '-']] as const)
    .map(([value, want]) => ({ id: `metric ${value}`, got: metric(value), want })),
  ...([[0.0181, '+0.018'], [-0.0049, '-0.005'], [0.0001, '0.000'], [-0.0001, '0.000'], [null, '-']] as const)
    .map(([value, want]) => ({ id: `signed ${value}`, got: signed(value), want })),
  ...([[12, '12'], [9999, '9999'], [12345, '12.3k'], [123456, '123k'], [999960, '1.0M']] as const)
    .map(([value, want]) => ({ id: `count ${value}`, got: count(value), want })),
  ...([[0, '░░░░'], [0.5, '██░░'], [0.53, '██▏░'], [1, '████'], [7, '████'], [NaN, '░░░░']] as const)
    .map(([value, want]) => ({ id: `bar ${value}`, got: bar(value, 4), want })),
  { id: 'percent', got: percent(0.3124), want: '31.2 %' },
  { id: 'sparkline falls', got: sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8), want: '█▇▆▅▄▃▂▁' },
  { id: 'sparkline averages a long history', got: sparkline([4, 4, 4, 4, 0, 0, 0, 0], 2), want: '█▁' },
  { id: 'sparkline of one level', got: sparkline([1, 1, 1], 8), want: '▁▁▁' },
  { id: 'sparkline leaves out what is no number', got: sparkline([NaN, 1, Infinity, 2], 8), want: '▁█' },
  { id: 'sparkline of nothing', got: sparkline([], 8), want: '' },
  { id: 'list of three', got: list(['a', 'b', 'c']), want: 'a, b and c' },
  { id: 'pad right', got: pad('7', 3, 'right'), want: '  7' },
  { id: 'truncate', got: truncate('hospital', 5), want: 'hosp…' },
  { id: 'truncate what fits', got: truncate('hospital', 8), want: 'hospital' },
  { id: 'truncate before a wide letter', got: truncate('東京都', 4), want: '東…' },
  { id: 'truncate switches colours off', got: truncate(colour('red', 'hospital'), 5), want: '\x1b[31mhosp…\x1b[0m' },
  { id: 'clean takes out terminal codes', got: clean('a\x1b[2Jb\x1b]0;title\x07c\r\nd\u202e\t e\x9b'), want: 'abc d e' }
]

for (const { id, got, want } of cases) test(id, t => { t.is(got, want) })

test('widths count cells, not code units', t => {
  t.is(displayWidth(colour(['bold', 'green'], 'Ärzte')), 5)
  t.is(displayWidth('東京'), 4)
  t.is(displayWidth('e\u0301'), 1)
})

test('NO_COLOR and a stream that is no terminal keep colours out', t => {
  t.is(painter(true, { NO_COLOR: '1' })('red', 'a'), 'a')
  t.is(painter(false, {})('red', 'a'), 'a')
  t.is(painter(true, { NO_COLOR: '' })('red', 'a'), '\x1b[31ma\x1b[39m')
})

test('a table is aligned with colours and wide letters in it', t => {
  const columns = [{ title: 'client' }, { title: 'gain', align: 'right' as const }, { title: 'by' }]
  const rows = [['東京', colour('green', '+0.1'), 'ensemble'], ['Köln', '-12.345', 'local']]
  const lines = table(columns, rows, { width: 80 })
  t.deepEqual(lines, ['client     gain  by', '東京       \x1b[32m+0.1\x1b[39m  ensemble', 'Köln    -12.345  local'])
  t.is(tableWidth(columns, rows), Math.max(...lines.map(displayWidth)))
})

test('a table that is too wide cuts the columns that may shrink, the widest first', t => {
  const columns = [{ title: 'client', shrink: true }, { title: 'task', shrink: true }, { title: 'n', align: 'right' as const }]
  const lines = table(columns, [['University Hospital', 'disease', '120']], { width: 24 })
  t.deepEqual(lines, ['client      task       n', 'Universit…  disease  120'])
  for (const line of table(columns, [['University Hospital', 'disease', '120']], { width: 10 })) t.true(displayWidth(line) <= 10)
})

test('wrapped text keeps its indent and its width', t => {
  t.deepEqual(wrap('one two three four', 9, '  '), ['one two', '  three', '  four'])
})
