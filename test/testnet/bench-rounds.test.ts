/** The bench of rounds as a user runs it, small: its rows have the keys and the bytes that they should have. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.ts', import.meta.url))

async function bench (...flags: string[]): Promise<Array<Record<string, unknown>>> {
  const { stdout } = await promisify(execFile)(process.execPath, [COMMAND, 'bench', 'rounds', '--clients', '2', '--rounds', '3', '--backend', 'cpu', '--format', 'json', ...flags])
  return stdout.trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
}

for (const { codec, most } of [{ codec: 'f32', most: 1.05 }, { codec: 'int8', most: 0.3 }]) {
  test.serial(`per client and round the payload is at most ${most} of two models in f32, as ${codec}`, async t => {
    const [row, summary] = await bench('--codec', codec)
    t.like(row, { bench: 'rounds', impl: 'fmtl-simulation', clients: 2, parameters: 9698, codec, localSteps: 5, backend: 'cpu' })
    t.like(summary, { type: 'summary', rows: 1, complete: true })
    const ratio = row?.payloadRatio as number
    t.true(ratio > 0.2 && ratio <= most, String(ratio))
    t.true((row?.accuracy as number) > 0.1, 'better than guessing')
    t.is((row?.secondsPerRound as { runs: number }).runs, 2)
  })
}

for (const [flag, value] of [['--parameters', 'huge'], ['--codec', 'int4'], ['--runner', 'cloud'], ['--rounds', '1'], ['--backend', 'abacus']] as const) {
  test.serial(`${flag} ${value} is refused`, async t => {
    const error = await t.throwsAsync(bench(flag, value)) as Error & { code: number, stderr: string }
    t.is(error.code, 2)
    t.true(error.stderr.includes(value))
  })
}
