import test from 'ava'
import { reachable, Topic } from '../../protocols/pubsub.ts'
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'
import { startNodes, until } from './nodes.ts'
import type { TopicInit } from '../../protocols/pubsub.ts'

const numbers: TopicInit<number> = {
  name: 'fmtl/test/numbers',
  maxBytes: 100,
  encode: value => new Uint8Array(value),
  decode: bytes => {
    if (bytes.length === 13) throw new DecodeError('thirteen')
    return bytes.length
  },
  check: value => value === 7 ? 'ignore' : value === 99 ? 'reject' : 'accept'
}

test('a topic passes on what its validator accepts, with who signed it', async t => {
  const nodes = await startNodes(t, 3)
  const topics = nodes.map(({ components }) => new Topic(components, numbers))
  const [first, , last] = topics
  const author = nodes[0]
  if (first == null || last == null || author == null) return t.fail()
  for (const topic of topics) topic.start()
  await until(() => first.subscribers.length === 2)
  const got: Array<[number, string]> = []
  const { promise, resolve } = Promise.withResolvers<void>()
  last.onMessage((value, from) => {
    got.push([value, from])
    if (value === 5) resolve()
  })
  for (const value of [1, 7, 5]) await first.publish(value)
  await promise
  t.deepEqual(got, [[1, author.id], [5, author.id]])
  for (const topic of topics) topic.stop()
})

test('what would cut the pair is refused before it is published', async t => {
  const [node] = await startNodes(t, 1)
  if (node == null) return t.fail()
  const topic = new Topic(node.components, numbers)
  topic.start()
  await t.throwsAsync(topic.publish(101), { instanceOf: InvalidParametersError })
  t.is(await topic.publish(100), 0)
  t.throws(() => new Topic(node.components, { ...numbers, maxBytes: 2 ** 20 }), { instanceOf: InvalidParametersError })
})

test('a peer that sends rubbish is graylisted', async t => {
  const [honest, spammer] = await startNodes(t, 2)
  if (honest == null || spammer == null) return t.fail()
  const topic = new Topic(honest.components, numbers)
  topic.start()
  const pubsub = spammer.node.services.pubsub
  pubsub.subscribe(numbers.name)
  await until(() => reachable(pubsub, numbers.name).length === 1)
  topic.onMessage(value => { t.fail(String(value)) })
  const router = honest.node.services.pubsub as unknown as { score: { score: (peer: string) => number } }
  for (const length of [13, 99, 101, 13, 99]) await pubsub.publish(numbers.name, new Uint8Array(length))
  await until(() => router.score.score(spammer.id) < -400)
  t.pass()
})
