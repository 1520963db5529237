/** Which host a client turns to when one failed. */
import test from 'ava'
import { ClientRole } from '../../node/roles/client-role.ts'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { ProtocolError } from '../../src/errors.ts'
import { backendOn } from '../helpers/rungs.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { losable } from '../helpers/losable.ts'
import { makeHost, smallCharter } from '../helpers/federation.ts'
import { LEVEL, clientData } from '../helpers/synthetic.ts'
import type { AttachRequest, HostCard } from '../../src/backbone/frames.ts'
import type { BackboneHost } from '../../src/federation/backbone-host.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Protocols } from '../../protocols/index.ts'

const backend = await backendOn('cpu')
const charter = smallCharter([LEVEL], { training: { rounds: 2 } })
/** Less than a host that failed is left alone for where there are others. */
const SOON_MS = 10_000

function card (host: string, attached: number): HostCard {
  return { host, name: host, backend: 'cpu', samplesPerSecond: 100, memoryBytes: 1, attached, slots: 4, model: charterHash(charter), round: 0, step: 0, addresses: [], sentAt: 1 }
}

/** Hosts that are announced; the way to a host is cut as often as `cuts` says. */
function network (hosts: Readonly<Record<string, BackboneHost>>, cuts: Record<string, number>): { protocols: Protocols, asked: string[] } {
  const asked: string[] = []
  const requests = new Map<string, AttachRequest>()
  const protocols = {
    announce: { hosts: Object.keys(hosts).map((host, i) => card(host, i)) },
    attach: async (host: string, request: AttachRequest) => {
      asked.push(host)
      if ((cuts[host] ?? 0) > 0) {
        cuts[host] = (cuts[host] ?? 0) - 1
        throw new ProtocolError(`cannot reach ${host}`, { code: 'ERR_UNREACHABLE' })
      }
      requests.set(host, request)
      return hosts[host]?.admit(request)
    },
    openChannel: async (host: string) => {
      const channels = channelPair({ client: 'ada', host, guard: () => {} })
      void hosts[host]?.serve(requests.get(host) as AttachRequest, channels.host)
      return channels.client
    }
  } as unknown as Protocols
  return { protocols, asked }
}

async function ada (events: NodeEvent[]): Promise<ClientRole> {
  return await ClientRole.create({
    node: 'ada',
    peer: 'ada',
    charter,
    trainer: { data: { path: '', client: 'ada', options: { seed: 1 } }, control: false },
    prefer: [],
    emit: event => events.push(event),
    spawn: async init => losable(new ClientTrainer(backend, init.charter, clientData({ id: 'ada', tasks: [LEVEL] }), { control: false }), 'cpu').compute
  })
}

function host (id: string): BackboneHost {
  const { host } = makeHost(backend, charter, { id })
  host.start()
  return host
}

test.serial('the only host is tried again at once when the way to it was lost', async t => {
  const { protocols, asked } = network({ hub: host('hub') }, { hub: 2 })
  const events: NodeEvent[] = []
  const role = await ada(events)
  await role.run(protocols, undefined, AbortSignal.timeout(SOON_MS))
  t.deepEqual(asked, ['hub', 'hub', 'hub'])
  t.is(events.filter(({ type }) => type === 'client:detached').length, 2)
  await role.stop()
})

test.serial('another host is taken before the one that failed', async t => {
  const { protocols, asked } = network({ hub: host('hub'), spare: host('spare') }, { hub: 1 })
  const role = await ada([])
  await role.run(protocols, undefined, AbortSignal.timeout(SOON_MS))
  t.deepEqual(asked, ['hub', 'spare'])
  await role.stop()
})
