/** The published entries, read as another language would have to read them. */
import { readFileSync, readdirSync } from 'node:fs'
import test from 'ava'
import { MemberLog, decodeKnock, decodeLink, encodeKnock, encodeLink } from '../../src/membership/index.ts'
import { exampleLog } from '../../scripts/vectors/membership.ts'

const FOLDER = new URL('../vectors/membership/1.0.0/', import.meta.url)
const bytes = (name: string): Buffer => readFileSync(new URL(`${name}.bin`, FOLDER))
const says = (name: string): Record<string, unknown> => JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8')) as Record<string, unknown>
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
const names = readdirSync(FOLDER).filter(file => /^entry-.*\.bin$/.test(file)).map(file => file.slice(0, -4)).sort()

test('the published entries make the published log', t => {
  const log = MemberLog.read(names.map(bytes))
  const { state } = log
  t.true(names.length > 10)
  t.deepEqual(plain({ id: log.id, heads: log.heads, digest: state.digest, charterHash: state.charterHash, members: [...state.members.values()], revoked: [...state.revoked.values()], left: [...state.left], ignored: [...state.ignored] }), says('log'))
})

test('the published entries, knock and link say what stands beside them', t => {
  const log = MemberLog.read(names.map(bytes))
  t.deepEqual(log.entries().map(({ bytes: _, ...entry }) => plain(entry)), names.map(says))
  t.deepEqual(plain(decodeKnock(bytes('knock'))), says('knock'))
  t.deepEqual(plain(decodeLink(bytes('link').toString())), says('link'))
})

test('the same keys sign the same bytes today', async t => {
  const { log, knock, link } = await exampleLog()
  t.deepEqual(log.entries().map(entry => Buffer.from(entry.bytes)), names.map(bytes))
  t.deepEqual(Buffer.from(encodeKnock(knock)), bytes('knock'))
  t.is(encodeLink(link), bytes('link').toString())
})
