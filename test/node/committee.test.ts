/** `committee show`: what a node answers over its control socket, and how it is drawn. */
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { ControlServer } from '../../node/control/server.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { KIND, peerCharter } from '../helpers/peer-sites.ts'
import { committeeLines } from '../../node/cli/committee.ts'
import { committeeRoute } from '../../node/control/committee.ts'
import { controlPath } from '../../node/control/path.ts'
import { createProgram, runProgram } from '../../node/cli/program.ts'
import { request } from '../../node/control/client.ts'
import { smallCharter } from '../helpers/federation.ts'
import { LEVEL } from '../helpers/synthetic.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Committee } from '../../node/roles/peer-role.ts'
import type { CommitteeAnswer, CommitteeSource } from '../../node/control/committee.ts'
import type { ExecutionContext } from 'ava'

const committee: Committee = {
  explanation: {
    peer: 'p-north',
    models: 7,
    own: 2,
    tasks: [{
      task: 'kind',
      samples: 60,
      models: 7,
      passedOver: 2,
      members: [
        { peer: 'p-north', modelId: 'model-1', version: 2, arch: 'a1b2c3d4e5f60718', own: true, accuracy: 0.7, loses: 0.1 },
        { peer: 'p-south', modelId: 'model-2', version: 1, arch: 'ffffffffffff0000', own: false, accuracy: 0.75, loses: -0.0125 }
      ],
      by: 'search',
      accuracy: 0.8,
      strength: 0.725,
      diversity: 0.25,
      rivals: [{ by: 'search', size: 2, accuracy: 0.8 }, { by: 'local', size: 2, accuracy: 0.65 }, { by: 'whole bench', size: 5, accuracy: 0.5 }],
      reason: 'search of 5 models on 60 rows: search 0.8000 (2), local 0.6500 (2), whole bench 0.5000 (5)'
    }]
  },
  choices: 3,
  agoMs: 12_000,
  served: { by: 'committee', reason: 'committee: no other candidate is better; kind: search of 5 models' },
  names: { 'p-north': 'north', 'p-south': 'south\u001b[31m' }
}
const figures = { step: 12, total: 40, done: false, cards: { known: 0, peers: 0, kept: 0, refused: 0, pending: 0, failed: 0 }, members: [] }
const trading = peerCharter([KIND], 1)

/** A node of this home that answers only this. */
async function served (t: ExecutionContext, charter: Charter, source: CommitteeSource | undefined): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'fmtl-committee-'))
  const server = new ControlServer({ at: controlPath(home), routes: [committeeRoute('north', charter, () => source)] })
  await server.start()
  t.teardown(async () => {
    await server.stop()
    await rm(home, { recursive: true, force: true })
  })
  return home
}

async function show (home: string, ...more: string[]): Promise<{ out: string, err: string, code: unknown }> {
  const said = { out: '', err: '', code: undefined as unknown }
  const write = process.stdout.write.bind(process.stdout)
  process.stdout.write = ((text: string) => { said.out += text; return true }) as typeof process.stdout.write
  const voice = { stdout: { write: (text: string) => { said.out += text } }, stderr: { write: (text: string) => { said.err += text } }, exitCode: undefined as number | string | null | undefined }
  try {
    await runProgram(createProgram(), ['node', 'fmtl-node', 'committee', 'show', '--home', home, ...more], voice)
  } finally {
    process.stdout.write = write
  }
  said.code = voice.exitCode
  return said
}

test.serial('a node answers who serves and why, by name', async t => {
  const home = await served(t, trading, { committee, view: { peer: { figures } } })
  const answer = await request<CommitteeAnswer>(home, 'GET', '/committee')
  t.like(answer, { node: 'north', models: 7, own: 2, choices: 3, chosenSecondsAgo: 12, served: { by: 'committee' } })
  t.deepEqual(answer.tasks[0]?.members.map(({ name, own, loses }) => [name, own, loses]), [['north', true, 0.1], ['south\u001b[31m', false, -0.0125]])
  const { out, code } = await show(home, '--format', 'json')
  t.like(JSON.parse(out), { success: true, node: 'north', models: 7 })
  t.is(code, undefined)
  const lines = committeeLines(answer, 120, (_, text) => text)
  t.is(lines[0], 'north chooses from 7 models, 2 of its own; chosen 12 s ago, for the 3rd time')
  t.is(lines[1], 'serves committee: no other candidate is better')
  t.true(lines.includes('kind  0.800 on 60 hold-out labels; strength 0.725, diversity 0.250'))
  t.true(lines.includes('7 models answer this task, 2 too far behind to be looked at'))
  t.true(lines.some(line => /^own +model-1 +a1b2c3d4e5f60718 +2 +0\.700 +\+0\.100$/.test(line)))
  t.true(lines.some(line => /^south +model-2 +ffffffffffff0000 +1 +0\.750 +-0\.013$/.test(line)), 'a name cannot colour the screen')
  t.true(lines.some(line => /^search +2 +0\.800 +serves$/.test(line)))
  t.true(lines.some(line => /^whole bench +5 +0\.500$/.test(line)))
  t.true(lines.every(line => line.length <= 120))
})

test.serial('one task may be asked for; one that is not there is said in a line', async t => {
  const home = await served(t, trading, { committee, view: { peer: { figures } } })
  t.regex((await show(home, '--task', 'kind')).out, /whole bench/)
  const { err, code } = await show(home, '--task', 'other')
  t.is(err, "fmtl-node: north has no task 'other'; next: use one of kind\n")
  t.is(code, 2)
})

test.serial('a charter without a bench, a committee not chosen yet and a node that starts are each said in a line', async t => {
  const none = await show(await served(t, smallCharter([LEVEL]), { committee: undefined, view: {} }))
  t.regex(none.err, /^fmtl-node: north trains one model with its peers: the charter of .* has no bench to choose from; next: .*\n$/)
  t.is(none.code, 2)
  const early = await show(await served(t, trading, { committee: undefined, view: { peer: { figures } } }))
  t.regex(early.err, /^fmtl-node: no committee was chosen at north yet: its own models have taken 12 of 40 steps; next: .*\n$/)
  t.is(early.code, 20)
  const starting = await show(await served(t, trading, undefined))
  t.regex(starting.err, /it is starting/)
  await t.throwsAsync(request(await served(t, smallCharter([LEVEL]), undefined), 'GET', '/committee'), { code: new InvalidParametersError('').code })
})

test('a node whose models still learn says so', t => {
  const lines = committeeLines({ node: 'north', models: 2, own: 2, choices: 11, chosenSecondsAgo: 1, tasks: committee.explanation.tasks.map(task => ({ ...task, passedOver: 0, members: [] })) }, 120, (_, text) => text)
  t.regex(lines[0] as string, /for the 11th time$/)
  t.regex(lines[1] as string, /still learn/)
  t.false(lines.join().includes('too far behind'))
})
