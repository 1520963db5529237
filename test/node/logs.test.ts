/** The logs of a home: set aside when large, read from the end, followed across a rotation. */
import { appendFile, readFile, readdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { DataError } from '../../src/errors.ts'
import { EventLog, rotate } from '../../node/telemetry/log-files.ts'
import { follow, tail } from '../../node/cli/logs.ts'
import { folderOf } from '../helpers/files.ts'
import { withoutFlags } from '../../node/cli/detach.ts'
import type { NodeEvent } from '../../node/events.ts'

async function last (path: string, lines: number): Promise<string> {
  let text = ''
  await tail(path, lines, piece => { text += Buffer.from(piece).toString() })
  return text
}

const long = `${Array.from({ length: 30_000 }, (_, i) => `line ${i}`).join('\n')}\n`
const tails: ReadonlyArray<{ id: string, content: string, lines: number, want: string }> = [
  { id: 'the last two', content: 'a\nb\nc\n', lines: 2, want: 'b\nc\n' },
  { id: 'one without a line break at its end', content: 'a\nb\nc', lines: 2, want: 'b\nc' },
  { id: 'fewer than asked for', content: 'a\nb\n', lines: 9, want: 'a\nb\n' },
  { id: 'as many as there are', content: 'a\nb\n', lines: 2, want: 'a\nb\n' },
  { id: 'none', content: 'a\nb\n', lines: 0, want: '' },
  { id: 'of an empty file', content: '', lines: 5, want: '' },
  { id: 'empty lines count', content: 'a\n\n\n', lines: 2, want: '\n\n' },
  { id: 'of a file of several pieces', content: long, lines: 20_000, want: long.slice(long.indexOf('line 10000\n')) }
]
for (const { id, content, lines, want } of tails) {
  test(`last lines: ${id}`, async t => { t.is(await last(join(await folderOf(t, { log: content }), 'log'), lines), want) })
}

test('a log that is not there is one line', async t => {
  const folder = await folderOf(t, {})
  await t.throwsAsync(last(join(folder, 'log'), 1), { instanceOf: DataError, message: /there is no log/ })
})

test('what comes is followed, also when the file begins anew', async t => {
  const folder = await folderOf(t, { log: 'old\n' })
  const path = join(folder, 'log')
  const end = new AbortController()
  let text = ''
  let wanted = ''
  let seen = Promise.withResolvers<void>()
  const until = async (want: string): Promise<void> => {
    wanted = want
    seen = Promise.withResolvers()
    if (text === want) seen.resolve()
    await seen.promise
  }
  const following = follow(path, 4, piece => {
    text += Buffer.from(piece).toString()
    if (text === wanted) seen.resolve()
  }, end.signal)
  await appendFile(path, 'one\n')
  await until('one\n')
  await rename(path, `${path}.1`)
  await writeFile(path, 'two\n')
  await until('one\ntwo\n')
  end.abort()
  await following
  t.is(text, 'one\ntwo\n')
})

test('a log above the limit is set aside, and three are kept', async t => {
  const folder = await folderOf(t, {})
  const path = join(folder, 'log')
  for (let i = 0; i < 6; i++) {
    await writeFile(path, String(i).repeat(20))
    rotate(path, 10)
  }
  t.deepEqual((await readdir(folder)).sort(), ['log.1', 'log.2', 'log.3'])
  t.is(await readFile(`${path}.1`, 'utf8'), '5'.repeat(20))
  t.is(await readFile(`${path}.3`, 'utf8'), '3'.repeat(20))
  await writeFile(path, 'small')
  rotate(path, 10)
  t.is(await readFile(path, 'utf8'), 'small')
})

const waiting: NodeEvent = { type: 'waiting', node: 'n', reason: 'waiting: for nobody' }

test('events are lines of JSON with the time; steps are left out', async t => {
  const folder = await folderOf(t, {})
  const log = new EventLog(join(folder, 'events.jsonl'), { onProblem: error => { t.fail(String(error)) } })
  log.write(waiting, new Date(0))
  log.write({ type: 'step', node: 'n', step: 1, total: 2, losses: {} })
  t.is(await readFile(join(folder, 'events.jsonl'), 'utf8'), '{"at":"1970-01-01T00:00:00.000Z","type":"waiting","node":"n","reason":"waiting: for nobody"}\n')
})

test('events that cannot be written are told of once', async t => {
  const folder = await folderOf(t, { file: '' })
  const problems: string[] = []
  const log = new EventLog(join(folder, 'file', 'events.jsonl'), { onProblem: error => { problems.push((error as Error).message) } })
  log.write(waiting)
  log.write(waiting)
  t.is(problems.length, 1)
  t.regex(problems[0] ?? '', /events not written/)
})

test('a detached node is started with the same words, in the foreground and for people', t => {
  t.deepEqual(withoutFlags(['/fmtl', 'up', '--detach', '--name', 'a', '--format', 'json', '--role', 'host']), ['/fmtl', 'up', '--name', 'a', '--role', 'host'])
  t.deepEqual(withoutFlags(['/fmtl', 'up', '--format=json', '--detach']), ['/fmtl', 'up'])
})
