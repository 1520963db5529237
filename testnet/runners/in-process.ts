/** Runs a plan without network: the simulator, telling the same story in the same events. */
import { createBackend } from '../../src/backend/index.ts'
import { loadBestRung } from '../../src/backend/ladder.ts'
import { passWork } from '../../src/training/work.ts'
import { phaseRounds } from '../../src/federation/groups.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { totalSteps } from '../../src/training/spec.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { TestnetPlan } from '../plan.ts'

export async function runInProcess (plan: TestnetPlan, emit: (event: NodeEvent) => void): Promise<void> {
  const { charter, rule, foundation, dataset, hosts, clients, options } = plan
  const startedAt = performance.now()
  const falls: string[] = []
  const rung = await loadBestRung({ prefer: options.backend, work: passWork(charter, 'both'), onFall: line => falls.push(line) })
  const backend = createBackend(rung, { onFall: line => process.stderr.write(`${line}\n`) }) // models load after the nodes have said what they run on
  const seconds = (performance.now() - startedAt) / 1000
  const started = (node: { name: string, peer: string }, role: 'host' | 'client'): void => emit({
    type: 'node:started', node: node.name, peer: node.peer, pid: process.pid, roles: [role], roleReason: 'as planned, simulated', addresses: [], backend: backend.name, falls, seconds
  })
  for (const host of hosts) started(host, 'host')
  for (const client of clients) started(client, 'client')
  const hostName = (peer: string): string => hosts.find(host => host.peer === peer)?.name ?? peer
  const gauges = (node: string): void => emit({
    type: 'gauges', node, rssBytes: process.resourceUsage().maxRSS * 1024, liveTensors: backend.liveTensors(), loopLagP99Ms: 0, loopLagMaxMs: 0, loopBusyP99Ms: 0, bytesSent: 0, bytesReceived: 0
  })
  let total = totalSteps(charter.training)
  /** Steps that a host has taken when a group begins: groups train one after the other here. */
  const stepsBefore = (group: number): number => {
    const { merged, group: rest } = phaseRounds(charter)
    return (merged + group * rest) * charter.training.stepsPerRound
  }
  const ready = new Set<string>()
  const tasksOf = new Map(clients.map(client => [client.data, client.tasks]))
  const result = await simulate({
    charter,
    dataset,
    backend,
    hosts: hosts.map(host => host.peer),
    clients: clients.map(client => client.peer),
    control: options.control,
    baseline: options.baseline ?? true,
    ...rule === undefined ? {} : { rule: rule.loaded },
    ...foundation === undefined ? {} : { start: foundation.start },
    tasksOf: id => tasksOf.get(id) ?? [],
    onAttached: (id, host, samples) => {
      const { name, tasks } = clients.find(client => client.data === id) as typeof clients[number]
      if (!ready.has(id)) emit({ type: 'client:ready', node: name, tasks, samples })
      ready.add(id)
      emit({ type: 'client:attached', node: name, host, step: 0 })
    },
    onStep: (host, step, losses, group) => emit({ type: 'step', node: hostName(host), step: step + (group === undefined ? 0 : stepsBefore(group.index)), total, losses }),
    onPartition: (partition, encoderSteps) => {
      total = stepsBefore(partition.groups.length)
      emit({ type: 'affinity', node: (hosts[0] as typeof hosts[number]).name, partition, encoderSteps })
    },
    onRound: (report, group) => {
      emit({ type: 'round', node: hostName(report.host), report, ...group === undefined ? {} : { group: group.tasks } })
      gauges(hostName(report.host))
    }
  })
  for (const [i, report] of result.clients.entries()) {
    const { name } = clients[i] as typeof clients[number]
    gauges(name)
    emit({ type: 'report', node: name, report })
  }
}
