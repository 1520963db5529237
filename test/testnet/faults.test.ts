/** Nodes that die under way, as processes over TCP: who goes on, who comes back, and what the summary says of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import test from 'ava'
import { COMMAND, TINY_MODEL, sets } from '../helpers/command.ts'
import { ProcessRunner } from '../../testnet/runners/process.ts'
import { SummaryBuilder } from '../../testnet/summary.ts'
import { planTestnet } from '../../testnet/plan.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { TestnetOptions, TestnetPlan } from '../../testnet/plan.ts'

const STEPS_PER_ROUND = 8
/** Long enough for a process to start again before the others are done: it needs a second or two, a round a tenth of one. */
const ROUNDS = 24
const options: TestnetOptions = {
  hosts: 1,
  clients: 3,
  data: 'scenes',
  tasks: ['cls', 'count'],
  rows: 24,
  strategy: 'fedbone',
  seed: 5,
  runner: 'process',
  backend: 'cpu',
  control: false,
  charter: {
    model: { width: 8, layers: 1, heads: 2, hidden: 8, embedder: { kind: 'patches', patch: 8 } },
    training: { rounds: ROUNDS, stepsPerRound: STEPS_PER_ROUND, batch: 8, warmup: 2 },
    merge: { mode: 'all' }
  }
}

interface Scenario {
  readonly plan: TestnetPlan
  readonly runner: ProcessRunner
  readonly seen: ReadonlyArray<NodeEvent & { readonly at: number }>
}

type Event<T extends NodeEvent['type']> = Extract<NodeEvent, { type: T }> & { readonly at: number }

/** Runs to the end while `script` breaks things; it hears every event. */
async function play (over: Partial<TestnetOptions>, script: (event: NodeEvent, scenario: Scenario) => void): Promise<Scenario & { readonly summary: Summary }> {
  const plan = await planTestnet({ ...options, ...over })
  const builder = new SummaryBuilder()
  const seen: Array<NodeEvent & { at: number }> = []
  const startedAt = Date.now()
  const runner: ProcessRunner = new ProcessRunner(plan, event => {
    builder.add(event)
    seen.push({ ...event, at: performance.now() })
    script(event, { plan, runner, seen })
  })
  try {
    await runner.run(AbortSignal.timeout(110_000))
  } finally {
    await runner.stop()
  }
  const nodes = [...plan.hosts, ...plan.clients].map(node => node.name)
  const summary = builder.build({ seed: plan.options.seed, data: 'scenes', strategy: 'fedbone', merge: 'all', runner: 'process', startedAt, nodes })
  return { plan, runner, seen, summary }
}

function only<T extends NodeEvent['type']> ({ seen }: Pick<Scenario, 'seen'>, type: T, node?: string): Array<Event<T>> {
  return seen.filter((event): event is Event<T> => event.type === type && (node === undefined || event.node === node))
}

/** In the middle of round 1 or later, and never at a round's end. */
function midRound (event: NodeEvent): event is Extract<NodeEvent, { type: 'step' }> {
  return event.type === 'step' && event.step > STEPS_PER_ROUND && event.step % STEPS_PER_ROUND !== 0
}

test.serial('a client killed in mid-round is missed by name, comes back from its checkpoint and contributes again', async t => {
  let victim = ''
  const run = await play({}, (event, { plan, runner }) => {
    if (victim !== '' || !midRound(event)) return
    victim = plan.clients[1]?.name as string
    runner.kill(victim, 'returns')
    void runner.restart(victim)
  })
  const { summary, plan } = run
  t.true(summary.complete, summary.missing.join('; '))
  const { rounds } = summary
  t.is(rounds.length, ROUNDS)
  const lost = rounds.find(({ missing }) => missing.some(line => line.startsWith(`${victim}: left at step`)))
  t.truthy(lost, 'the round names who left')
  const others = plan.clients.map(client => client.name).filter(name => name !== victim)
  t.true(others.every(name => lost?.contributors.includes(name)), 'the others contribute to that round')
  t.true((lost?.seconds ?? Infinity) < 15, 'the round does not wait for the deadline')
  const attached = only(run, 'client:attached', victim)
  t.is(attached.length, 2, 'attached, and again after its restart')
  t.log(`left in round ${lost?.round}, back at step ${attached[1]?.step} of ${ROUNDS * STEPS_PER_ROUND}`)
  t.true((attached[1]?.step ?? 0) > STEPS_PER_ROUND)
  t.true(rounds.some(round => round.round > (lost?.round ?? Infinity) && round.contributors.includes(victim)), 'contributes to a later round')
})

test.serial('clients of a killed host go on at another within 10 s; the host comes back from its checkpoint and serves again; all drain in 5 s', async t => {
  let killedAt = 0
  let exitCode: Promise<number | undefined> | undefined
  let [askedAt, drained] = [0, 0]
  const run = await play({ hosts: 2, clients: 4 }, (event, { plan, runner, seen }) => {
    const [host, other] = plan.hosts as [typeof plan.hosts[number], typeof plan.hosts[number]]
    const wanderer = plan.clients[0]?.name as string
    if (killedAt === 0 && midRound(event) && event.node === host.name) {
      killedAt = performance.now()
      runner.kill(host.name, 'returns')
    }
    // both of its clients are served elsewhere: it may come back
    if (event.type === 'client:attached' && event.host === other.peer && only({ seen }, 'client:attached').filter(({ host }) => host === other.peer).length === 4) {
      void runner.restart(host.name)
    }
    // back, and one of its clients is restarted: it prefers the host that it was planned for
    if (event.type === 'host:ready' && event.node === host.name && killedAt > 0 && exitCode === undefined) {
      askedAt = performance.now()
      exitCode = runner.terminate(wanderer, 'returns')
      void exitCode.then(async () => {
        drained = performance.now() - askedAt
        await runner.restart(wanderer)
      })
    }
  })
  const { summary, plan } = run
  const [host, other] = plan.hosts as [typeof plan.hosts[number], typeof plan.hosts[number]]
  const moved = plan.clients.filter(client => client.host === host.peer).map(client => client.name)
  for (const name of moved) {
    const arrival = only(run, 'client:attached', name).find(event => event.host === other.peer)
    const seconds = ((arrival?.at ?? Infinity) - killedAt) / 1000
    t.log(`${name} at ${other.name} after ${seconds.toFixed(1)} s`)
    t.true(seconds <= 10, `${name} took ${seconds} s`)
  }
  t.is(summary.clients.length, 4)
  t.true(summary.clients.every(client => client.served !== null), 'every client ends with its report')

  t.is(await exitCode, 0)
  t.true(drained < 5_000, `SIGTERM took ${drained} ms`)
  const wanderer = moved[0] as string
  t.true(only(run, 'checkpoint', wanderer).some(({ at }) => at > askedAt && at < askedAt + drained), 'SIGTERM saves')
  const attached = only(run, 'client:attached', wanderer)
  t.is(attached.at(-1)?.host, host.peer, 'taken by the host that came back')
  t.true((attached.at(-1)?.step ?? 0) > 0, 'which had restored its checkpoint')
  const backAt = only(run, 'host:ready', host.name)[1]?.at ?? Infinity
  t.true(only(run, 'round', host.name).some(({ at, report }) => at > backAt && report.contributors.some(peer => peer === plan.clients[0]?.peer)), 'and trains there')
  t.false(only(run, 'round', other.name).some(({ report }) => report.missing.some(line => /^host .* within \d+ ms$/.test(line))), 'nobody waited a deadline for the host that was away')
  for (const { node, exitCode, reason } of only(run, 'node:stopped').slice(-6)) t.is(exitCode, 0, `${node}: ${reason}`)
})

test.serial('a run that lost a host ends for all clients and does not claim success', async t => {
  let done = false
  const run = await play({ hosts: 2, clients: 2, charter: { ...options.charter, training: { ...options.charter?.training, rounds: 8 } } }, (event, { plan, runner }) => {
    if (done || !midRound(event)) return
    done = true
    runner.kill(plan.hosts[0]?.name as string)
  })
  const { summary } = run
  t.false(summary.complete)
  t.deepEqual(summary.missing, ['host-1: stopped with exit status 128: ended by SIGKILL'])
  t.regex(summary.verdict, /^Incomplete run \(host-1\)/)
  t.true(summary.clients.every(client => client.served !== null))
})

test.serial('Ctrl-C of testnet up leaves no process behind', async t => {
  const child = spawn(process.execPath, [COMMAND, 'testnet', 'up', '--hosts', '1', '--clients', '2', '--tasks', 'cls', '--rows', '24', '--backend', 'cpu', '--format', 'json', ...TINY_MODEL, ...sets('training.rounds=1000', 'training.stepsPerRound=4')],
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  t.teardown(() => { child.kill('SIGKILL') })
  const pids: number[] = []
  let pressedAt = 0
  createInterface({ input: child.stdout }).on('line', line => {
    const event = JSON.parse(line) as NodeEvent
    if (event.type === 'node:started') pids.push(event.pid)
    if (pressedAt > 0) t.log(`${((performance.now() - pressedAt) / 1000).toFixed(2)} s: ${event.type} ${event.node}`)
    if (event.type !== 'round' || pressedAt > 0) return
    pressedAt = performance.now()
    process.kill(-(child.pid as number), 'SIGINT') // a terminal tells the whole process group
  })
  const [code] = await once(child, 'close') as [number | null]
  t.not(code, 0)
  t.true(performance.now() - pressedAt < 8_000)
  t.is(pids.length, 3)
  for (const pid of pids) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, `${pid} is still there`)
})
