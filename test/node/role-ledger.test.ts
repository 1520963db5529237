/** A host announces a round when it is in its ledger, and not before. */
import test from 'ava'
import { HostRole } from '../../node/roles/host-role.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { LEVEL, clientData } from '../helpers/synthetic.ts'
import { ResourceError } from '../../src/errors.ts'
import { backendOn } from '../helpers/rungs.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { losable } from '../helpers/losable.ts'
import { makeClient, smallCharter } from '../helpers/federation.ts'
import { reportHash } from '../../node/ledger.ts'
import type { ExecutionContext } from 'ava'
import type { Ledger } from '../../node/ledger.ts'
import type { LedgerAct } from '../../src/ledger/index.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Protocols } from '../../protocols/index.ts'

const backend = await backendOn('cpu')
const charter = smallCharter([LEVEL])

const alone = {
  announce: { hosts: [], onCard: () => () => {}, onExpired: () => () => {}, publish: async () => {} },
  delta: { onDelta: () => () => {}, onEquivocation: () => () => {}, publish: async () => {} },
  serve: async () => async () => {}
} as unknown as Protocols

/** A host that serves one client to the end. */
async function run (t: ExecutionContext, ledger: Ledger): Promise<{ role: HostRole, events: NodeEvent[] }> {
  const events: NodeEvent[] = []
  const role = await HostRole.create({
    node: 'host',
    peer: 'host',
    charter,
    slots: 2,
    announceMs: 60_000,
    ledger,
    emit: event => events.push(event),
    spawn: async init => losable(new HostTrainer(backend, init.charter), 'cpu').compute
  })
  t.teardown(async () => { await role.stop() })
  await role.start(alone, () => [])
  const { client, request } = makeClient(backend, charter, clientData({ id: 'ada', tasks: [LEVEL] }))
  const admission = role.admit(request)
  if ('code' in admission) throw new Error(admission.reason)
  const channels = channelPair({ client: 'ada', host: 'host', guard: () => {} })
  void role.serve(request, channels.host)
  client.run(channels.client, admission.step).catch(() => undefined) // the host may end first
  return { role, events }
}

type Round = LedgerAct & { readonly kind: 'round' }

test('a round is in the ledger with its contributors, its own delta and its states before it is announced', async t => {
  const acts: Round[] = []
  const announced: number[] = []
  const { role, events } = await run(t, {
    append: async (act, { deltas }) => {
      acts.push(act as Round)
      t.deepEqual(deltas?.map(({ cid }) => cid), (act as Round).merged.map(({ cid }) => cid))
      announced.push(events.filter(({ type }) => type === 'round').length)
    }
  })
  await role.finished
  t.deepEqual(announced, [0, 1])
  t.deepEqual(acts.map(({ round, step }) => [round, step]), [[0, 3], [1, 6]])
  t.is(acts[0]?.after, acts[1]?.before)
  t.not(acts[0]?.before, acts[0]?.after)
  t.is(acts[1]?.after, await role.compute.trainer.anchorHash())
  for (const { accepted, contributors, merged } of acts) {
    t.is(accepted, 'own')
    t.deepEqual(contributors.map(({ client, steps, samples }) => [client, steps, samples > 0]), [['ada', 3, true]])
    t.deepEqual(merged.map(({ host, codec, weight }) => [host, codec, weight]), [['host', 'f32', 1]])
  }
  const reports = events.flatMap(event => event.type === 'round' ? [event.report] : [])
  t.deepEqual(acts.map(({ report }) => report), reports.map(reportHash))
})

test('a host that waits for its disk says so, announces nothing, and stops when it is told to', async t => {
  const waits = Promise.withResolvers<void>()
  const { role, events } = await run(t, {
    append: async (_, { signal, onWaiting }) => {
      onWaiting('waiting: no space left on the disk')
      waits.resolve()
      await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(new Error('stopped', { cause: signal.reason })) }, { once: true }) })
    }
  })
  await waits.promise
  t.is(role.host.waiting, 'waiting: no space left on the disk')
  await role.stop()
  t.deepEqual(events.filter(({ type }) => type === 'round'), [])
})

test('a host whose ledger cannot be written ends with the reason', async t => {
  const { role } = await run(t, { append: async () => { throw new ResourceError('ledger.log not written: permission denied') } })
  await t.throwsAsync(role.finished, { instanceOf: ResourceError, message: /permission denied/ })
})
