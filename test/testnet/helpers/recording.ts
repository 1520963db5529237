/**
 * A small run as its nodes told it: two hosts, four clients, three rounds, one client that loses its host and moves, one
 * host reached by its peer id. `at` is milliseconds after the start.
 */
import type { NodeEvent } from '../../../node/events.ts'
import type { RoundReport } from '../../../src/backbone/frames.ts'
import type { Scores } from '../../../src/tasks/task.ts'
import type { ClientReport, TaskReport } from '../../../src/training/committee.ts'

export interface Recorded { readonly at: number, readonly event: NodeEvent }

export const STARTED_AT = 1_700_000_000_000
export const STEPS = 60
const PER_ROUND = 20
const TASKS = ['digit', 'parity', 'ge5']
const SITES = ['mnist', 'optdigits', 'semeion', 'pendigits']

export const peerOf = (node: string): string => `12D3KooW${node.replace('-', '').padEnd(44, 'x')}`

export function recordedRun (): Recorded[] {
  const run: Recorded[] = []
  const say = (at: number, event: NodeEvent): void => { run.push({ at, event }) }
  const hosts = ['host-1', 'host-2']
  const clients = ['client-1', 'client-2', 'client-3', 'client-4']
  hosts.forEach((node, i) => {
    say(800 + 50 * i, { type: 'node:started', node, peer: peerOf(node), pid: 100 + i, roles: ['host'], roleReason: 'fastest of the six', addresses: [`/ip4/127.0.0.1/tcp/400${i}`], backend: 'tensorflow', falls: [], seconds: 0.8 })
    say(1200 + 50 * i, { type: 'host:ready', node, samplesPerSecond: 1840 - 300 * i, memoryBytes: 2 ** 31, parameters: 61_344 })
    say(1300 + 50 * i, { type: 'waiting', node, reason: '0 of 2 clients attached' })
  })
  clients.forEach((node, i) => {
    say(1500 + 50 * i, { type: 'node:started', node, peer: peerOf(node), pid: 200 + i, roles: ['client'], roleReason: 'slower than the hosts', addresses: [], backend: i === 3 ? 'wasm' : 'tensorflow', falls: i === 3 ? ['tensorflow does not load'] : [], seconds: 0.9 })
    say(1900 + 50 * i, { type: 'client:ready', node, tasks: tasksOf(i), samples: { train: 40, holdout: 10, test: 400 } })
    say(1950 + 50 * i, { type: 'waiting', node, reason: 'no host has announced itself' })
    say(2400 + 50 * i, { type: 'client:attached', node, host: peerOf(hosts[i % 2] as string), step: 0 })
  })
  for (let step = 1; step <= STEPS; step++) {
    hosts.forEach((node, h) => {
      const at = 3000 + 100 * step + 10 * h
      say(at, { type: 'step', node, step, total: STEPS, losses: { digit: 2.3 * Math.exp(-step / 30) + 0.1, parity: 0.69 * Math.exp(-step / 40), ge5: 0.69 * Math.exp(-step / (50 + 10 * h)) } })
      if (step % PER_ROUND === 0) say(at + 5, { type: 'round', node, report: round(node, hosts[1 - h] as string, step / PER_ROUND, step === STEPS) })
    })
    if (step === 25) {
      say(5560, { type: 'client:detached', node: 'client-3', host: peerOf('host-1'), reason: 'the connection closed' })
      say(5570, { type: 'waiting', node: 'client-3', reason: `${peerOf('host-1')} is silent, asking the next host` })
      say(5580, { type: 'client:attached', node: 'client-3', host: peerOf('host-2'), step: 26 })
      say(5590, { type: 'step:skipped', node: 'client-3', from: 25, to: 26, reason: 'it had no host' })
    }
    if (step % 15 === 0) {
      ;[...hosts, ...clients].forEach((node, i) => say(3050 + 100 * step, {
        type: 'gauges', node, rssBytes: (300 + 10 * i + step) * 2 ** 20, liveTensors: step < 20 ? 90 : 120, loopLagP99Ms: 12.5 + i, loopLagMaxMs: 80, loopBusyP99Ms: 2.5, bytesSent: step * 40_000, bytesReceived: step * 50_000
      }))
    }
  }
  clients.forEach((node, i) => say(9500 + 50 * i, { type: 'report', node, report: reportOf(i) }))
  ;[...clients, ...hosts].forEach(node => say(9900, { type: 'node:stopped', node, exitCode: 0, reason: 'the run is over' }))
  return run.sort((a, b) => a.at - b.at)
}

function tasksOf (client: number): string[] { return client === 3 ? ['tremor', 'parity'] : TASKS.slice(0, 3 - client % 2) }

function round (host: string, other: string, number: number, final: boolean): RoundReport {
  return {
    host: peerOf(host),
    round: number,
    steps: PER_ROUND,
    seconds: 2.05,
    contributors: host === 'host-1' ? [peerOf('client-1')] : [peerOf('client-2'), peerOf('client-4')],
    missing: host === 'host-1' && number === 2 ? [`${peerOf('client-3')}: left at step 25: the connection closed`] : [],
    pairs: 20 * number,
    conflictPairs: 6,
    meanCosine: 0.11,
    minCosine: -0.1 * number,
    removedShare: 0.04,
    minDirectionCosine: 0.0001,
    minUpdateCosine: -0.031,
    merged: number === 3 ? [peerOf(host)] : [peerOf(host), peerOf(other)].sort(),
    mergeReason: number === 3 ? 'merge turned down: hold-out loss +0.0310 +- 0.0100 against own' : 'both deltas help',
    bytesUp: 1_500_000,
    bytesDown: 1_400_000,
    final
  }
}

function reportOf (client: number): ClientReport {
  const served = client === 3 ? 'local' : 'ensemble'
  return {
    client: SITES[client] as string,
    served,
    reason: `${served}: no rival`,
    tasks: tasksOf(client).map((id, i) => {
      const [metric, higherIsBetter] = id === 'tremor' ? ['mae', false] as const : ['accuracy', true] as const
      const score = (value: number): Scores => ({
        metric,
        value,
        higherIsBetter,
        support: 400,
        all: { [metric]: value },
        ...metric === 'mae' ? {} : { classes: classesOf(id, client) }
      })
      const local = metric === 'mae' ? 7.21 : 0.78 + 0.02 * client + 0.03 * i
      const gain = metric === 'mae' ? -0.4 : client === 1 ? -0.012 : 0.031
      const scores: Record<string, Scores> = {
        local: score(local), federated: score(local + gain * 0.8), ensemble: score(local + gain), control: score(local), twoLocals: score(local + 0.006)
      }
      return { id, metric, higherIsBetter, support: 400, scores: { ...scores, served: scores[served] as Scores } }
    })
  }
}

/** The recording with a simple model at every client, so much better than the deep local one, and what the hold-outs prefer. */
export function withSimple (by: number, bestLocal: 'simple' | 'local' = 'simple'): Recorded[] {
  return recordedRun().map(({ at, event }) => event.type !== 'report'
    ? { at, event }
    : { at, event: { ...event, report: { ...event.report, bestLocal, tasks: event.report.tasks.map(task => simpleTask(task, by, bestLocal)) } } })
}

function simpleTask (task: TaskReport, by: number, bestLocal: 'simple' | 'local'): TaskReport {
  const { local } = task.scores as { readonly local: Scores }
  const simple = { ...local, value: local.value + (local.higherIsBetter ? by : -by) }
  return { ...task, scores: { ...task.scores, simple, bestLocal: { simple, local }[bestLocal] } }
}

function classesOf (id: string, client: number): NonNullable<Scores['classes']> {
  const row = (name: string, support: number): NonNullable<Scores['classes']>[number] => ({ name, support, recall: 0.8, precision: 0.8, f1: 0.8 })
  if (id === 'digit') return Array.from({ length: 10 }, (_, digit) => row(String(digit), 40))
  return client === 2 && id === 'ge5' ? [row('below5', 393), row('ge5', 7)] : [row('no', 200), row('yes', 200)]
}
