import test from 'ava'
import { AffinityService, affinityTopic, encodeAffinity } from '../../protocols/affinity/index.ts'
import { BUDGETS } from '../../protocols/limits.ts'
import { BlobService } from '../../protocols/blob/index.ts'
import { DecodeError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { meshSize, startNodes, until } from './nodes.ts'
import type { AffinityMessage, AffinityRow } from '../../protocols/affinity/index.ts'
import type { ExecutionContext } from 'ava'
import type { TestNode } from './nodes.ts'

const MERGE = 'ab'.repeat(8)
const OTHER = 'cd'.repeat(32)
const TASKS = ['a', 'b', 'c']

interface Member {
  readonly node: TestNode
  readonly affinity: AffinityService
  readonly heard: Array<[AffinityMessage, string]>
}

async function members (t: ExecutionContext, count: number): Promise<Member[]> {
  const made: Member[] = []
  for (const node of await startNodes(t, count)) {
    const blobs = new BlobService(node.components, { maxBytes: 2 ** 24 })
    await blobs.start()
    const affinity = new AffinityService(node.components, blobs, { merge: MERGE, tasks: TASKS, now: () => 0 })
    affinity.start()
    const heard: Member['heard'] = []
    affinity.onMessage((message, from) => { heard.push([message, from]) })
    made.push({ node, affinity, heard })
  }
  if (count > 1) await until(() => made.every(({ node }, i) => meshSize(node, affinityTopic(MERGE)) >= (i === 0 ? count - 1 : 1)))
  return made
}

function rowOf (site: string, more: Partial<AffinityRow> = {}): AffinityRow {
  return { site, charter: MERGE, tasks: ['a', 'c'], sums: Float32Array.of(0, 0.5, -1, 0), counts: Uint32Array.of(0, 2, 2, 0), ...more }
}

test.serial('row, roll and claim reach everybody, repetitions too', async t => {
  const [speaker, ...others] = await members(t, 3) as [Member, Member, Member]
  const { id } = speaker.node
  const row = rowOf(id)
  const messages: AffinityMessage[] = [{ row }, { roll: { charter: MERGE, clients: [id] } }, { claim: { charter: MERGE, partition: OTHER, rows: [speaker.affinity.provide(row)] } }, { row }]
  for (const message of messages) await speaker.affinity.publish(message)
  for (const { heard } of others) {
    await until(() => heard.length === messages.length)
    t.deepEqual(heard, messages.map((message): [AffinityMessage, string] => [message, id]))
  }
})

test.serial('a row that was missed is fetched by its hash from whoever heard it', async t => {
  const [speaker, listener, late] = await members(t, 3) as [Member, Member, Member]
  const row = rowOf(speaker.node.id)
  const reference = speaker.affinity.provide(row)
  await speaker.affinity.publish({ row })
  await until(() => listener.heard.length === 1)
  t.deepEqual(await late.affinity.fetch(reference, [late.node.id, listener.node.id], { signal: AbortSignal.timeout(5000) }), row)
  await t.throwsAsync(late.affinity.fetch({ ...reference, site: listener.node.id }, [speaker.node.id]), { instanceOf: DecodeError, message: /row of/ })
  await t.throwsAsync(late.affinity.fetch({ ...reference, hash: OTHER }, [speaker.node.id]), { instanceOf: ProtocolError })
  await t.throwsAsync(late.affinity.fetch(reference, [late.node.id]), { instanceOf: ProtocolError, code: 'ERR_UNREACHABLE' })
})

test.serial('what is of another site, charter or task is neither published nor passed on', async t => {
  const [liar, peer] = await members(t, 2) as [Member, Member]
  const { id } = liar.node
  const wrong: AffinityMessage[] = [
    { row: rowOf(peer.node.id) },
    { row: rowOf(id, { charter: OTHER }) },
    { row: rowOf(id, { tasks: ['a', 'x'] }) },
    { row: rowOf(id, { tasks: ['c', 'a'] }) },
    { roll: { charter: OTHER, clients: [] } },
    { claim: { charter: OTHER, partition: OTHER, rows: [] } }
  ]
  const right: AffinityMessage = { roll: { charter: MERGE, clients: [] } }
  for (const message of wrong) {
    await t.throwsAsync(liar.affinity.publish(message), { instanceOf: InvalidParametersError })
    await liar.node.node.services.pubsub.publish(affinityTopic(MERGE), encodeAffinity(message))
  }
  await liar.affinity.publish(right)
  await until(() => peer.heard.length > 0)
  t.deepEqual(peer.heard, [[right, id]])
})

test.serial('of one site two rows are passed on, so that everybody sees both, and no third', async t => {
  const [liar, peer] = await members(t, 2) as [Member, Member]
  const rows = [1, 2, 3].map(count => rowOf(liar.node.id, { counts: Uint32Array.of(0, count, count, 0) }))
  for (const row of rows) await liar.affinity.publish({ row })
  await liar.affinity.publish({ roll: { charter: MERGE, clients: [] } })
  await until(() => peer.heard.some(([message]) => 'roll' in message))
  t.deepEqual(peer.heard.flatMap(([message]) => 'row' in message ? [message.row] : []), rows.slice(0, 2))
})

test.serial('a peer that says more than its budget is not passed on any more, and others notice nothing', async t => {
  const [loud, peer, quiet] = await members(t, 3) as [Member, Member, Member]
  const many = BUDGETS.affinity.requestsPerMinute
  for (let i = 0; i <= many; i++) await loud.affinity.publish({ roll: { charter: MERGE, clients: [`${i}`] } })
  await quiet.affinity.publish({ roll: { charter: MERGE, clients: ['quiet'] } })
  await until(() => peer.heard.some(([, from]) => from === quiet.node.id) && peer.heard.length === many + 1)
  t.is(peer.heard.filter(([, from]) => from === loud.node.id).length, many)
})
