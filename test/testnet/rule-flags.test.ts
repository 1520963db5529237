/** Rules and their options on the command line: what a flag says is what the charter gets, and what cannot be is said in one line. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const CLI = fileURLToPath(new URL('../../scripts/fmtl-node.ts', import.meta.url))

async function up (...args: string[]): Promise<{ code: number, text: string }> {
  return await new Promise(resolve => {
    execFile(process.execPath, [CLI, 'testnet', 'up', '--runner', 'in-process', '--hosts', '2', '--clients', '2', '--rows', '12', '--rounds', '1', '--backend', 'wasm', '--no-baseline', '--no-control',
      '--set', 'model.width=8', '--set', 'model.layers=1', '--set', 'model.heads=2', '--set', 'model.hidden=8', '--set', 'training.batch=4', '--format', 'json', ...args],
    { timeout: 110_000 }, (error, stdout, stderr) => { resolve({ code: error === null ? 0 : Number(error.code), text: stdout + stderr }) })
  })
}

test('a short run takes rules and options from flags', async t => {
  const { code, text } = await up('--rule', 'cagrad:c=0.2,rescale=2', '--merge', 'all', '--merge-rule', 'gp:tau=2', '--set', 'training.stepsPerRound=1', '--set', 'projection.weighting=dwa', '--set', 'merge.options.order=ids')
  t.is(code, 0, text)
  const summary = JSON.parse(text.trim().split('\n').at(-1) as string) as { rounds: Array<{ mergeReason: string, between: { hosts: number } }> }
  t.is(summary.rounds.length, 2)
  for (const { mergeReason, between } of summary.rounds) {
    t.is(mergeReason, 'all hosts by charter and gp')
    t.is(between.hosts, 2)
  }
})

for (const { id, args, says } of [
  { id: 'an option that the rule does not know', args: ['--rule', 'cagrad:tau=1'], says: /projection\.options\.tau is no option of rule cagrad.*known: c, rescale/ },
  { id: 'options without a value', args: ['--rule', 'cagrad:c'], says: /--rule: 'c' is not KEY=VALUE.*cagrad:key=value/ },
  { id: 'gp between hosts on long rounds', args: ['--merge-rule', 'gp', '--set', 'training.stepsPerRound=5'], says: /merge\.rule 'gp' needs rounds of one step/ },
  { id: 'a section that there is not', args: ['--set', 'clock.quorum=2'], says: /sections: model, training, projection, merge/ }
]) {
  test(`testnet up refuses ${id}`, async t => {
    const { code, text } = await up(...args)
    t.not(code, 0)
    t.regex(text, says)
  })
}
