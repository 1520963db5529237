/** `fmtl-node import` and what goes on from its file, as a user types it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { folderOf } from '../helpers/foundation.ts'
import { readCharter } from '../../src/federation/charter.ts'

const COMMAND = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'scripts', 'fmtl-node.mjs')
const SCRATCH = mkdtempSync(join(tmpdir(), 'fmtl-import-'))
test.after.always(() => { rmSync(SCRATCH, { recursive: true, force: true }) })

function run (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  return spawnSync(process.execPath, [COMMAND, ...args], { encoding: 'utf8' })
}

test.serial('a folder becomes a file that a charter names and a node builds on; another file ends in one line', t => {
  const [vit, bert, charter] = ['vit.safetensors', 'bert.safetensors', 'charter.json'].map(name => join(SCRATCH, name)) as [string, string, string]
  const text = run('import', folderOf('vit-tiny'), '--out', vit)
  t.is(text.status, 0, text.stderr)
  t.regex(text.stdout, /vit, 2 layers of width 32 with 4 heads, 23520 parameters/)
  const json = run('import', folderOf('bert-tiny'), '--out', bert, '--format', 'json')
  const { success, model, unused } = JSON.parse(json.stdout) as { success: boolean, model: { foundation: { family: string, sha256: string } }, unused: string[] }
  t.deepEqual([success, model.foundation.family, unused], [true, 'bert', []])

  const made = run('charter', '--data', 'scenes', '--set', 'data.tasks=cls', '--strategy', 'fedavg', '--foundation', vit, '--out', charter)
  t.is(made.status, 0, made.stderr)
  const { model: { backbone, embedder } } = readCharter(JSON.parse(readFileSync(charter, 'utf8')))
  t.like(backbone, { width: 32, layers: 2, foundation: { family: 'vit', pictures: { size: 16, patch: 8, channels: 3 } } })
  t.deepEqual(embedder.foundation, backbone.foundation)

  const node = ['up', '--charter', charter, '--home', join(SCRATCH, 'home'), '--role', 'host', '--profile', 'testnet']
  for (const [args, says] of [
    [[], /the charter builds on a vit model with sha-256 [0-9a-f]{16}\.\.\., whose file was not given; next: [^\n]+/],
    [['--foundation', bert], new RegExp(`the file given has ${model.foundation.sha256.slice(0, 16)}\\.\\.\\.; next: [^\\n]+`)],
    [['--foundation', join(SCRATCH, 'none')], /none: there is no such file; next: [^\n]+/]
  ] as const) {
    const { status, stdout, stderr } = run(...node, ...args)
    t.deepEqual([status, stdout], [12, ''])
    t.regex(stderr, new RegExp(`^fmtl-node: [^\\n]*${says.source}\\n$`))
  }
})

test.serial('a folder that is no model is one line, and the last line of JSON', t => {
  const { status, stdout, stderr } = run('import', SCRATCH, '--out', join(SCRATCH, 'x'), '--format', 'json')
  t.is(status, 12)
  t.regex(stderr, /^fmtl-node: [^\n]+there is no config\.json; next: [^\n]+\n$/)
  t.like(JSON.parse(stdout), { success: false, code: 'ERR_FOUNDATION' })
})

test.serial('whole clients and a host build on the file in a simulated consortium', t => {
  const vit = join(SCRATCH, 'vit.safetensors')
  const { status, stdout, stderr } = run('testnet', 'up', '--data', 'scenes', '--tasks', 'cls', '--clients', '2', '--hosts', '1', '--rows', '24', '--rounds', '1', '--strategy', 'fedavg', '--set', 'training.localSteps=2',
    '--no-control', '--no-baseline', '--runner', 'in-process', '--backend', 'wasm', '--foundation', vit, '--format', 'json')
  t.is(status, 0, stderr)
  t.like(JSON.parse(stdout.trimEnd().split('\n').at(-1) as string), { complete: true })
})
