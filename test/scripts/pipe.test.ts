import { once } from 'node:events'
import { spawn } from 'node:child_process'
import test from 'ava'

test('a command whose reader has gone ends quietly, as by SIGPIPE', async t => {
  const child = spawn(process.execPath, [new URL('../../scripts/fmtl-node.ts', import.meta.url).pathname, 'exit-codes', '--format', 'json'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said += text })
  const [status] = await once(child, 'close') as [number]
  t.is(said, '')
  t.is(status, 141)
})
