import { createHash } from 'node:crypto'
import test from 'ava'
import { sha256InPieces } from '../src/hashing.ts'

for (const { id, length } of [{ id: 'empty', length: 0 }, { id: 'one piece', length: 1000 }, { id: 'to the byte', length: 8 * 2 ** 20 }, { id: 'a rest', length: 9 * 2 ** 20 + 5 }]) {
  test(`the hash in pieces is the hash in one go: ${id}`, async t => {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 31 + (i >> 8))
    t.is(await sha256InPieces(bytes), createHash('sha256').update(bytes).digest('hex'))
  })
}

test('others have a turn between two pieces', async t => {
  let turns = 0
  const timer = setInterval(() => { turns++ }, 0)
  await sha256InPieces(new Uint8Array(64 * 2 ** 20))
  clearInterval(timer)
  t.true(turns > 1)
})
