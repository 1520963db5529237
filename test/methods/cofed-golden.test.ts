/** The arithmetic of CoFED against the reference: test/vectors/cofed. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { accept, classWeights, majority, propose, take, tally } from '../../src/methods/cofed/labels.ts'
import { packAccepted, unpackAccepted } from '../../src/methods/cofed/wire.ts'
import type { Accepted, Ballot } from '../../src/methods/cofed/labels.ts'

interface Golden {
  classes: number[][],
  probs: number[][][],
  clientWeights: number[],
  margin: number,
  threshold: number
  proposed: Record<string, number[]>,
  accepted: Record<string, number[]>
  perClient: Array<{ labels: Record<string, number[]>, counts: number[], classWeights: number[] }>
  localCounts: number[][]
  binaryMajority: { votes: number[][], label: number[] }
}

const golden = JSON.parse(readFileSync(new URL('../vectors/cofed/cofed-pseudolabels.json', import.meta.url), 'utf8')) as Golden
const ROWS = golden.probs[0]?.length as number
const CHANNELS = 4
const rowsWhere = (fits: (row: number) => boolean): number[] => [...Array(ROWS).keys()].filter(fits)

const ballots = golden.classes.map((classes, k): Ballot => ({
  labels: propose((golden.probs[k] as number[][]).flat(), classes, golden.margin),
  classes,
  weight: golden.clientWeights[k] as number
}))
const acceptedAt = (threshold: number): Accepted => accept(tally(ballots, ROWS, CHANNELS), CHANNELS, threshold)

test('proposals and accepted rows per class are the reference\'s', t => {
  for (const [c, want] of Object.entries(golden.proposed)) t.deepEqual(rowsWhere(row => ballots.some(({ labels }) => labels[row] === Number(c))), want)
  for (const [c, want] of Object.entries(golden.accepted)) t.deepEqual(rowsWhere(row => acceptedAt(golden.threshold)(row, Number(c))), want)
})

test('a site takes what one of its classes alone claims, and weighs classes by what it then has', t => {
  golden.perClient.forEach(({ labels, counts, classWeights: want }, k) => {
    const classes = golden.classes[k] as number[]
    const taken = take(acceptedAt(golden.threshold), ROWS, classes)
    for (const c of classes) t.deepEqual(rowsWhere(row => taken[row] === c), labels[c], `client ${k}, class ${c}`)
    const got = classes.map((c, i) => (golden.localCounts[k]?.[i] as number) + taken.filter(label => label === c).length)
    t.deepEqual(got, counts)
    classWeights(got).forEach((weight, i) => t.true(Math.abs(weight - (want[i] as number)) <= 1e-9))
  })
})

test('the threshold is strict: 1 accepts nothing, however many agree', t => {
  t.deepEqual(rowsWhere(row => [0, 1, 2, 3].some(c => acceptedAt(1)(row, c))), [])
})

test('two classes by majority of all sites', t => {
  const { votes, label } = golden.binaryMajority
  const sites = (votes[0] as number[]).map((_, site): Ballot => ({ labels: votes.map(row => row[site] as number), classes: [0, 1], weight: 1 }))
  const accepted = majority(tally(sites, votes.length, 2))
  t.deepEqual(votes.map((_, row) => accepted(row, 1) ? 1 : accepted(row, 0) ? 0 : -1), label)
})

test('who knows one class proposes nothing, and a class without rows weighs nothing', t => {
  t.deepEqual([...propose([1, 1, 1], [2], 0.3)], [-1, -1, -1])
  t.deepEqual(classWeights([4, 0, 2]), [0.5, 0, 1])
})

test('accepted classes come out of their numbers as they went in, more than a number has bits for', t => {
  const accepted = (row: number, c: number): boolean => (row * 7 + c * c) % 3 === 0
  const unpacked = unpackAccepted(packAccepted(accepted, 9, 60), 60)
  for (let row = 0; row < 9; row++) for (let c = 0; c < 60; c++) t.is(unpacked(row, c), accepted(row, c))
})
