/** Runs a plan of sites that trade models without network: virtual time, the same events as the nodes'. */
import { createBackend } from '../../src/backend/index.ts'
import { finite, sum } from '../figures.ts'
import { loadBestRung } from '../../src/backend/ladder.ts'
import { passWork } from '../../src/training/work.ts'
import { simulatePeers } from '../../src/federation/peers.ts'
import { totalSteps } from '../../src/training/spec.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { TestnetPlan } from '../plan.ts'

export async function runPeersInProcess ({ charter, dataset, clients, options }: TestnetPlan, emit: (event: NodeEvent) => void): Promise<void> {
  const startedAt = performance.now()
  const falls: string[] = []
  const rung = await loadBestRung({ prefer: options.backend, work: passWork(charter, 'peer'), onFall: line => falls.push(line) })
  const backend = createBackend(rung, { onFall: line => process.stderr.write(`${line}\n`) })
  const seconds = (performance.now() - startedAt) / 1000
  for (const { name, peer } of clients) {
    emit({ type: 'node:started', node: name, peer, pid: process.pid, roles: ['peer'], roleReason: 'as planned, simulated', addresses: [], backend: backend.name, falls, seconds })
  }
  const named = (peer: string): string => clients.find(client => client.peer === peer)?.name ?? peer
  const tasksOf = new Map(clients.map(client => [client.data, client.tasks]))
  const total = totalSteps(charter.training)
  const { clients: reports, arrivals } = await simulatePeers({
    charter,
    dataset,
    backend,
    clients: clients.map(client => client.peer),
    tasksOf: id => tasksOf.get(id) ?? [],
    onReady: (id, samples) => {
      const { name, tasks } = clients.find(client => client.data === id) as typeof clients[number]
      emit({ type: 'client:ready', node: name, tasks, samples })
    },
    onStep: (client, step, losses) => emit({ type: 'step', node: named(client), step, total, losses }),
    onPublished: (client, { modelId, version, bytes, valAccuracy }) => emit({ type: 'card:published', node: named(client), modelId, version, bytes, ...valAccuracy === undefined ? {} : { accuracy: valAccuracy } }),
    onArrival: ({ client, card: { peer, modelId, version }, kept, reason, accuracy }) => emit({ type: 'model:considered', node: named(client), peer, modelId, version, kept, reason, accuracy: finite(accuracy) }),
    onCommittee: (client, explanation) => emit({ type: 'committee', node: named(client), explanation })
  })
  for (const [i, report] of reports.entries()) {
    const { name, peer } = clients[i] as typeof clients[number]
    const pulled = (of: (arrival: typeof arrivals[number]) => string): number => sum(arrivals.filter(arrival => arrival.pulled && of(arrival) === peer).map(({ card }) => card.bytes))
    emit({
      type: 'gauges',
      node: name,
      rssBytes: process.resourceUsage().maxRSS * 1024,
      liveTensors: backend.liveTensors(),
      loopLagP99Ms: 0,
      loopLagMaxMs: 0,
      loopBusyP99Ms: 0,
      bytesSent: pulled(({ card }) => card.peer),
      bytesReceived: pulled(({ client }) => client)
    })
    emit({ type: 'report', node: name, report })
  }
}
