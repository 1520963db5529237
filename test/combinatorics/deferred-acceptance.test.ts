import { readFileSync } from 'node:fs'
import test from 'ava'
import { fc, testProp } from '@fast-check/ava'
import { deferredAcceptance } from '../../src/combinatorics/deferred-acceptance.ts'

interface Matching { readonly devicePreferences: number[][], readonly serverScores: number[][], readonly quotas: number[], readonly result: Record<string, number[]> }
const { matching } = JSON.parse(readFileSync(new URL('../vectors/methods/demlearn-tree.json', import.meta.url), 'utf8')) as { matching: Matching }

test('the matching is that of the reference', t => {
  const { devicePreferences: preferences, serverScores: scores, quotas, result } = matching
  t.deepEqual(deferredAcceptance({ preferences, scores, quotas }), quotas.map((_, server) => result[server]))
})

test('of equals the lower device is held', t => {
  t.deepEqual(deferredAcceptance({ preferences: [[0], [0], [0]], scores: [[1, 1, 1]], quotas: [2] }), [[0, 1]])
})

/** Devices would take some of the servers, in any order; scores have ties. */
const market = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 4 })).chain(([devices, servers]) => fc.record({
  preferences: fc.array(fc.shuffledSubarray(Array.from({ length: servers }, (_, i) => i)), { minLength: devices, maxLength: devices }),
  scores: fc.array(fc.array(fc.integer({ min: 0, max: 4 }), { minLength: devices, maxLength: devices }), { minLength: servers, maxLength: servers }),
  quotas: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: servers, maxLength: servers })
}))

testProp('no device and server would both rather have each other', [market], (t, init) => {
  const held = deferredAcceptance(init)
  const { preferences, scores, quotas } = init
  const matched = held.flat()
  t.is(new Set(matched).size, matched.length)
  held.forEach((group, server) => { t.true(group.length <= (quotas[server] as number)) })
  preferences.forEach((wanted, device) => {
    const own = held.findIndex(group => group.includes(device))
    const better = own === -1 ? wanted : wanted.slice(0, wanted.indexOf(own))
    t.true(own === -1 || wanted.includes(own))
    for (const server of better) {
      const group = held[server] as number[]
      const worth = (of: number): number => scores[server]?.[of] as number
      t.is(group.length, quotas[server] as number)
      t.true(group.every(other => worth(other) > worth(device) || (worth(other) === worth(device) && other < device)))
    }
  })
})
