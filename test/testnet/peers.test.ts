/** Sites that trade models as a user runs them in one process, and what `plan` says of them beforehand. */
import { join } from 'node:path'
import test from 'ava'
import { TINY_MODEL, command, sets } from '../helpers/command.ts'
import { KIND, peerCharter } from '../helpers/peer-sites.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { closingLines } from '../../testnet/view/closing.ts'
import { folderOf } from '../helpers/files.ts'
import { runTestnet } from '../../testnet/testnet.ts'
import type { Run } from '../../testnet/bench/learning/run.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { TestnetOptions } from '../../testnet/plan.ts'

const OPTIONS: TestnetOptions = {
  hosts: 2,
  clients: 2,
  data: 'scenes',
  tasks: ['seg', 'depth'],
  rows: 16,
  strategy: 'fedpae',
  seed: 11,
  backend: 'wasm',
  control: false,
  runner: 'in-process',
  charter: {
    model: { width: 8, layers: 1, heads: 2, hidden: 8, embedder: { kind: 'patches', patch: 16 } },
    training: { rounds: 1, stepsPerRound: 2, batch: 4 },
    bench: { architectures: [{}, { hidden: 16 }] }
  }
}

test.serial('a testnet of fedpae has no hosts, takes what peers publish, and is complete without a round', async t => {
  const events: NodeEvent[] = []
  const summary = await runTestnet(OPTIONS, event => { events.push(event) }, AbortSignal.timeout(60_000))
  t.true(summary.complete, summary.missing.join('; '))
  t.deepEqual(summary.hosts, [])
  t.deepEqual(summary.clients.map(({ tasks }) => tasks), [['seg', 'depth'], ['seg', 'depth']], 'models of other tasks would be of no use')
  const of = <T extends NodeEvent['type']>(type: T): Array<Extract<NodeEvent, { type: T }>> => events.filter(event => event.type === type) as Array<Extract<NodeEvent, { type: T }>>
  t.is(of('model:considered').length, 4)
  t.true(of('model:considered').every(({ kept, accuracy }) => kept && accuracy !== null))
  for (const { node } of summary.clients) t.like(of('committee').findLast(event => event.node === node)?.explanation, { models: 4, own: 2 })
  const bytes = summary.clients.map(({ bytesSent, bytesReceived }) => bytesSent - bytesReceived)
  t.deepEqual(bytes, [0, 0], 'two sites with the same models give as much as they take')
  t.true(summary.clients.every(({ bytesSent }) => bytesSent > 0))
  const closing = closingLines(summary, { width: 120, paint: (_, text) => text }).join('\n')
  t.regex(closing, /^traffic +[\d.]+ KiB of weights pulled by 2 peers; no rows, activations or gradients$/m)
  t.deepEqual(of('card:published').map(({ version, bytes }) => [version, bytes > 0]), Array.from({ length: 4 }, () => [1, true]))
})

test.serial('processes can be killed, sites in one process cannot', async t => {
  const error = await t.throwsAsync(runTestnet({ ...OPTIONS, kill: 'camera-0@1' }, () => {}, AbortSignal.timeout(10_000)), { instanceOf: InvalidParametersError })
  t.regex(error?.message ?? '', /^--kill needs nodes that are processes$/)
})

test.serial('plan says in one line what a site sends: cards, and weights per pull', async t => {
  const folder = await folderOf(t, { 'charter.json': JSON.stringify(peerCharter([KIND], 1)) })
  const plan = ['plan', '--charter', join(folder, 'charter.json'), '--clients', '6']
  const text = (await command(...plan, '--format', 'text')).replace(/\s+/g, ' ')
  t.regex(text, /^a site sends cards and weights, no activations and no gradients, and needs no host: 2 models of [\d.k]+ and [\d.k]+ weights, [\d.]+ KiB and [\d.]+ KiB per pull, once; among 6 sites/)
  const summary = JSON.parse(await command(...plan, '--format', 'json')) as { type: string, models: Array<{ bytes: number, parameters: number }>, perVersion: { up: number, down: number } }
  t.is(summary.type, 'summary')
  t.true(summary.models.every(({ bytes, parameters }) => bytes === 4 * parameters))
  t.is(summary.perVersion.up, 5 * summary.models.reduce((sum, { bytes }) => sum + bytes, 0))
})

test.serial('bench learning compares fedpae with others: its figures, bytes and losses', async t => {
  const lines = (await command('bench', 'learning', '--strategies', 'fedpae', '--data', 'scenes#cls', '--seeds', '1', '--rounds', '1', '--rows', '16', '--clients', '2', '--jobs', '1', '--backend', 'wasm', '--format', 'json', ...TINY_MODEL, ...sets('training.batch=4', 'training.localSteps=2'))).trimEnd().split('\n')
  const runs = lines.map(line => JSON.parse(line) as Run & { type: string }).filter(({ type }) => type === 'run')
  t.deepEqual(runs.map(({ order }) => [order.strategy, order.refit]), [['fedpae', false], ['fedpae', true]])
  for (const { clients, bytesUp, bytesDown, curve, parameters } of runs) {
    t.is(bytesUp, bytesDown)
    t.is(bytesUp, 2 * 4 * parameters, 'either site takes both models of the other')
    t.true(curve.length > 0)
    for (const { tasks } of clients) t.true(tasks.every(({ scores }) => Number.isFinite(scores.federated)))
  }
  t.deepEqual(runs[1]?.clients, runs[0]?.clients, 'without a hold-out nobody could be chosen: training on it too is not for peers')
})
