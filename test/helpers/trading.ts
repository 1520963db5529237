/** Peers that trade models over real TCP on loopback, their trainers in this thread. */
import { PeerRole } from '../../node/roles/peer-role.ts'
import { PeerTrainer } from '../../src/bench/peer-trainer.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { createProtocols } from '../../protocols/index.ts'
import { queued } from '../../src/compute/remote.ts'
import { seededIdentity } from '../../node/store/identity.ts'
import { startNodes, until } from '../protocols/nodes.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Checkpoints } from '../../node/store/memory.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { Compute } from '../../src/compute/spawn.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { ExecutionContext } from 'ava'
import type { NodeEvent } from '../../node/events.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { TestNode } from '../protocols/nodes.ts'

export interface Trader {
  readonly name: string
  readonly id: string
  readonly node: TestNode
  readonly protocols: Protocols
  readonly role: PeerRole
  readonly events: NodeEvent[]
  readonly report: Promise<ClientReport>
  /** Ends the role, as a stop of its node would. */
  stop (): Promise<void>
}

export interface TradingInit {
  readonly backend: Backend
  readonly charter: Charter
  readonly dataset: Dataset
  /** Its own steps wait for that; what arrives is looked at all the same. */
  readonly held?: (site: string) => Promise<void> | undefined
  readonly store?: Checkpoints
  /** In place of a trainer that computes in this thread. */
  readonly spawn?: (trainer: PeerTrainer) => Compute<PeerTrainer>
  readonly onEvent?: (event: NodeEvent) => void
}

/** Sites and as many nodes: all know the first one. What they learn follows from the charter's seed, their keys too. */
export async function startTraders (t: ExecutionContext, init: TradingInit): Promise<Trader[]> {
  const { dataset: { clientIds }, charter: { seed } } = init
  const nodes = await startNodes(t, clientIds.length, async i => await seededIdentity(seed, clientIds[i] as string))
  // trainers in this thread would hold up the streams that open now
  const networks = await Promise.all(nodes.map(async node => await networkOf(t, node, init)))
  await until(() => networks.every(({ announce }, i) => announce.subscribers.length >= (i === 0 ? nodes.length - 1 : 1)), 60_000)
  return await Promise.all(clientIds.map(async (site, i) => await startTrader(t, nodes[i] as TestNode, site, init, networks[i])))
}

async function networkOf (t: ExecutionContext, node: TestNode, { charter }: TradingInit): Promise<Protocols> {
  const protocols = createProtocols(node.components, { consortium: 'traders', model: charterHash(charter) })
  await protocols.start()
  t.teardown(async () => { if (node.node.status === 'started') await protocols.stop() })
  return protocols
}

/** @param network - of the node, where it has been started */
export async function startTrader (t: ExecutionContext, node: TestNode, site: string, init: TradingInit, network?: Protocols): Promise<Trader> {
  const { backend, charter, dataset, held, store, spawn, onEvent } = init
  const events: NodeEvent[] = []
  const data = await dataset.client(site)
  const wait = held?.(site)
  const abort = new AbortController()
  const role = await PeerRole.create({
    node: site,
    peer: node.id,
    charter,
    trainer: { data: { path: '', client: site, options: {} as never } },
    repeatMs: 500,
    selectMs: 20,
    ...store === undefined ? {} : { store },
    emit: event => {
      events.push(event)
      onEvent?.(event)
    },
    spawn: async () => {
      const trainer = new PeerTrainer(backend, charter, data, { peer: node.id })
      if (spawn !== undefined) return spawn(trainer)
      const remote = queued(trainer)
      // the wait is not in the queue: a worker that computes slowly answers between two steps
      const late = wait === undefined ? remote : new Proxy(remote, { get: (target, name) => name === 'step' ? async (n: number) => { await wait; return await target.step(n) } : Reflect.get(target, name) as unknown })
      return { trainer: late, lost: new Promise(() => {}), bringUp: async () => ({ backend: 'wasm', memoryBytes: 2 ** 30, falls: [] }), stop: async () => { trainer.dispose() } }
    }
  })
  const protocols = network ?? await networkOf(t, node, init)
  const report = role.run(protocols, () => node.node.getMultiaddrs().map(String), abort.signal)
  report.catch(() => undefined) // whoever awaits it hears of it
  const stop = async (): Promise<void> => {
    abort.abort(new Error('the test is over'))
    await role.stop()
  }
  t.teardown(stop)
  return { name: site, id: node.id, node, protocols, role, events, report, stop }
}

/** Models of others that it has on its bench. */
export function taken ({ role }: Trader): number { return role.view.figures.cards.kept }

export function refusals ({ events }: Trader): Array<{ modelId?: string, reason: string }> {
  return events.flatMap(event => event.type === 'card:refused' || (event.type === 'model:considered' && !event.kept) ? [{ ...event.modelId === undefined ? {} : { modelId: event.modelId }, reason: event.reason }] : [])
}

/** Hold-out accuracy of each committee that it chose, one after the other. */
export function accuracies ({ events }: Trader, task: string): number[] {
  return events.flatMap(event => event.type === 'committee' ? event.explanation.tasks.filter(each => each.task === task).map(({ accuracy }) => accuracy) : [])
}

/** All have chosen from everything that is offered. */
export async function settled (traders: readonly Trader[], models: number): Promise<void> {
  await until(() => traders.every(trader => {
    const last = trader.events.findLast(event => event.type === 'committee')
    const { kept, refused } = trader.role.view.figures.cards
    return kept + refused >= models && last?.type === 'committee' && last.pending === 0 && last.explanation.models - last.explanation.own >= taken(trader)
  }), 60_000)
}
