/** A newcomer at a member's door, over real connections; what the member answers is up to the test. */
import test from 'ava'
import fc from 'fast-check'
import { ask, decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, serveKnocks } from '../../protocols/knock/index.ts'
import { MAX_ENTRIES_PER_MESSAGE } from '../../protocols/limits.ts'
import { InvalidParametersError, ProtocolError, ResourceError } from '../../src/errors.ts'
import { MAX_ENTRY_BYTES, MAX_KNOCK_BYTES, decodeKnock, writeKnock } from '../../src/membership/index.ts'
import { signer } from '../membership/helpers.ts'
import { pair } from './nodes.ts'
import type { Knock } from '../../src/membership/index.ts'
import type { KnockAnswer } from '../../protocols/knock/index.ts'

const entries = [Uint8Array.of(1, 2, 3), Uint8Array.of(4)]
const addresses = ['/ip4/192.0.2.1/tcp/4001']

async function knockOf (label: string): Promise<Knock> {
  return await writeKnock(signer(label), { net: '0'.repeat(64), charter: '1'.repeat(64), invite: '2'.repeat(64), name: 'Klinik Süd' })
}

test('a newcomer reads the charter, knocks, waits, and is admitted with the log and where to find the others', async t => {
  const [host, client] = await pair(t)
  const heard: unknown[] = []
  const answers: KnockAnswer[] = [{ charter: Uint8Array.of(7, 7) }, { status: 'pending' }, { status: 'admitted', entries, addresses }]
  t.teardown(await serveKnocks(host.components, async (knock, from) => {
    heard.push([knock === undefined ? undefined : decodeKnock(knock), from])
    return answers[heard.length - 1] as KnockAnswer
  }))
  const knock = await knockOf('bea')
  t.deepEqual(await ask(client.components, host.id, undefined), { charter: Uint8Array.of(7, 7) })
  t.deepEqual(await ask(client.components, host.id, knock), { status: 'pending' })
  t.deepEqual(await ask(client.components, host.id, knock), { status: 'admitted', entries, addresses })
  t.deepEqual(heard, [[undefined, client.id], [knock, client.id], [knock, client.id]])
})

test('a refusal reaches the newcomer with its code and reason, a bug without its text', async t => {
  const [host, client] = await pair(t)
  let thrown: Error = new ProtocolError('the charter has changed since you read it: read it again', { code: 'ERR_CHARTER' })
  t.teardown(await serveKnocks(host.components, async () => { throw thrown }))
  const knock = await knockOf('bea')
  t.deepEqual(await ask(client.components, host.id, knock), { code: 'ERR_CHARTER', reason: thrown.message })
  thrown = new ResourceError('the member log is full')
  t.deepEqual(await ask(client.components, host.id, knock), { code: 'ERR_RESOURCE', reason: thrown.message })
  thrown = new TypeError('undefined is not a function')
  t.deepEqual(await ask(client.components, host.id, knock), { code: 'ERR_INTERNAL', reason: 'internal error' })
})

test('a member with too many knocks from one identity says busy instead of cutting it off', async t => {
  const [host, client] = await pair(t)
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  t.teardown(await serveKnocks(host.components, async () => {
    await gate
    return { status: 'pending' }
  }))
  const knock = await knockOf('bea')
  let busy = 0
  const answers = await Promise.all(Array.from({ length: 12 }, async () => {
    const answer = await ask(client.components, host.id, knock)
    if ('code' in answer && ++busy === 4) open()
    return 'code' in answer ? answer.code : 'status' in answer && answer.status
  }))
  t.deepEqual(answers.toSorted(), [...new Array<string>(4).fill('ERR_BUSY'), ...new Array<string>(8).fill('pending')])
})

test('a member that does not open its door is named', async t => {
  const [host, client] = await pair(t)
  await t.throwsAsync(ask(client.components, host.id, undefined), { instanceOf: ProtocolError, code: 'ERR_UNSUPPORTED' })
})

test('a request is for the charter or a knock, of a knock\'s size', t => {
  t.is(decodeRequest(encodeRequest(undefined)), undefined)
  t.deepEqual(decodeRequest(encodeRequest(Uint8Array.of(1))), Uint8Array.of(1))
  for (const [what, bytes] of [
    ['nothing', new Uint8Array(0)],
    ['both', Buffer.concat([encodeRequest(undefined), encodeRequest(Uint8Array.of(1))])],
    ['too large a knock', encodeRequest(new Uint8Array(MAX_KNOCK_BYTES + 16))]
  ] as const) t.throws(() => decodeRequest(bytes), { instanceOf: ProtocolError, code: 'ERR_DECODE' }, what)
})

test('an answer is one of four, each within its limits', t => {
  t.throws(() => decodeAnswer(new Uint8Array(0)), { instanceOf: ProtocolError, code: 'ERR_DECODE' })
  for (const bad of [
    { charter: new Uint8Array(MAX_ENTRY_BYTES + 1) },
    { status: 'admitted', entries: [new Uint8Array(0)], addresses: [] },
    { status: 'admitted', entries: new Array<Uint8Array>(MAX_ENTRIES_PER_MESSAGE + 1).fill(Uint8Array.of(1)), addresses: [] },
    { status: 'admitted', entries, addresses: ['x'.repeat(257)] },
    { code: 'x'.repeat(65), reason: '' }
  ] as KnockAnswer[]) t.throws(() => encodeAnswer(bad), { instanceOf: InvalidParametersError }, Object.keys(bad).join())
})

test('what is encoded is decoded to the same', t => {
  const some = fc.uint8Array({ minLength: 1, maxLength: 500 })
  fc.assert(fc.property(fc.option(some, { nil: undefined }), knock => { t.deepEqual(decodeRequest(encodeRequest(knock)), knock) }), { numRuns: 200 })
  fc.assert(fc.property(fc.oneof<Array<fc.Arbitrary<KnockAnswer>>>(
    fc.record({ charter: some }),
    fc.constant({ status: 'pending' } as const),
    fc.record({ status: fc.constant('admitted' as const), entries: fc.array(some, { maxLength: 20 }), addresses: fc.array(fc.constantFrom(...addresses, '/dns4/a.example/tcp/1'), { maxLength: 8 }) }),
    fc.record({ code: fc.constant('ERR_REFUSED'), reason: fc.constantFrom('', 'no', 'größer') })
  ), answer => { t.deepEqual(decodeAnswer(encodeAnswer(answer)), answer) }), { numRuns: 200 })
})
