import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import type { DoctorReport } from '../../node/cli/doctor.ts'

const run = promisify(execFile)
const BIN = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))

async function doctor (args: string[], env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await run(process.execPath, [BIN, 'doctor', ...args], { env: { ...process.env, ...env } })
  return stdout
}

test('doctor prints one line of JSON with every rung', async t => {
  const stdout = await doctor(['--format', 'json'], { FMTL_BACKEND: '' })
  t.is(stdout.trimEnd().split('\n').length, 1)
  const report = JSON.parse(stdout) as DoctorReport
  t.deepEqual(Object.keys(report), ['backend', 'rungs', 'problems', 'next'])
  t.deepEqual(report.rungs.map(rung => rung.name), ['webgpu', 'tensorflow', 'wasm', 'cpu'])
  for (const rung of report.rungs) {
    t.deepEqual(Object.keys(rung), ['name', 'loads', 'gflops', 'trainStepMs', 'device', 'software', 'reason'])
    if (rung.loads) {
      t.true(rung.gflops != null && rung.gflops > 0, rung.name)
      t.true(rung.trainStepMs != null && rung.trainStepMs > 0, rung.name)
    } else {
      t.regex(rung.reason ?? '', /^[^\n]+$/, rung.name)
    }
  }
  t.is(report.backend, report.rungs.find(rung => rung.loads && rung.reason == null)?.name ?? null)
  t.true(report.next.length > 0)
})

test('FMTL_BACKEND moves the start of the ladder down, and the table marks what serves', async t => {
  const stdout = await doctor([], { FMTL_BACKEND: 'wasm' })
  t.regex(stdout, /^> {2}wasm +yes +\d+\.\d +\d+\.\d\d {2}serves$/m)
  t.regex(stdout, /^next: /m)
})

test('an unknown FMTL_BACKEND is one line and a failing exit status', async t => {
  const err = await t.throwsAsync<Error & { code: number, stderr: string }>(doctor([], { FMTL_BACKEND: 'abacus' }))
  t.is(err?.code, 2)
  t.regex(err?.stderr ?? '', /^fmtl-node: FMTL_BACKEND is 'abacus', not one of webgpu, tensorflow, wasm, cpu\n$/)
})
