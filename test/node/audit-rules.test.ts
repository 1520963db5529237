/** An audit computes what a rule between hosts made of their deltas again, and finds what was forged about it. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { CheckpointStore } from '../../node/store/checkpoints.ts'
import { DeltaStore } from '../../node/store/delta-store.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { LEVEL } from '../helpers/synthetic.ts'
import { Random } from '../../src/random.ts'
import { audit } from '../../node/audit/audit.ts'
import { backendOn } from '../helpers/rungs.ts'
import { hashOf } from '../../src/membership/encoding.ts'
import { inOneLine } from '../../node/audit/report.ts'
import { mergeTerms } from '../../src/training/merge.ts'
import { packUnits } from '../../src/compression/index.ts'
import { smallCharter } from '../helpers/federation.ts'
import { START, entriesOf, fileOf, folder, roundOf } from '../helpers/ledger.ts'
import { signer } from '../membership/helpers.ts'
import type { LedgerAct } from '../../src/ledger/index.ts'
import type { MergeTerms } from '../../src/training/merge.ts'
import type { PackedDelta } from '../../src/federation/exchange.ts'

const backend = await backendOn('cpu')
const ann = signer('ann')
const charter = smallCharter([LEVEL], { training: { rounds: 4, stepsPerRound: 1 }, merge: { mode: 'all', rule: 'gp' } })
const HOSTS = ['host-a', 'host-b', 'host-c']
type Round = LedgerAct & { readonly kind: 'round' }

/** What a host with a ledger leaves behind after some rounds with two others. */
async function live (home: string, rounds: number): Promise<Round[]> {
  const trainer = new HostTrainer(backend, charter)
  const store = new CheckpointStore(join(home, 'checkpoints', 'host'), { keep: 9 })
  const deltas = new DeltaStore(join(home, 'deltas'), 20)
  const random = new Random(4)
  const acts: Round[] = []
  try {
    let before = trainer.anchorHash()
    for (let round = 0; round < rounds; round++) {
      const { history } = trainer.delta()
      const entries = HOSTS.map((id, i) => ({
        id,
        weight: i + 1,
        units: Object.fromEntries(Object.entries(trainer.unitSizes()).map(([name, length]) => [name, Float32Array.from({ length }, () => 0.01 * random.normal())])),
        ...history === undefined ? {} : { history }
      }))
      const packed = entries.map(({ units }): PackedDelta => {
        const payload = packUnits(units, 'f32')
        return { cid: hashOf(payload), codec: 'f32', payload }
      })
      await deltas.keep(packed)
      trainer.proposeMerge('merged', entries, round)
      const accepted = trainer.accept('merged')
      const after = trainer.anchorHash()
      acts.push(roundOf(round, {
        step: round + 1,
        merged: entries.map(({ id, weight }, i) => ({ host: id, round, weight, cid: packed[i]?.cid as string, codec: 'f32' })),
        merge: mergeTerms(charter),
        before,
        after,
        ...accepted.history === undefined ? {} : { history: accepted.history }
      }))
      before = after
      await store.save(round + 1, trainer.save())
    }
  } finally {
    trainer.dispose()
  }
  return acts
}

async function write (home: string, acts: readonly Round[]): Promise<void> {
  await writeFile(join(home, 'ledger.log'), fileOf(await entriesOf(ann, [START, ...acts])))
}

test('rounds merged by a rule come out again, history, chance and all; what was forged about the rule does not', async t => {
  const home = await folder(t)
  const acts = await live(home, 3)
  t.deepEqual(acts.map(({ history }) => history === undefined), [true, false, false])
  await write(home, acts)
  const { ok, recomputed, problems } = await audit(home)
  t.true(ok, problems.map(inOneLine).join('\n'))
  t.deepEqual(recomputed, [1, 2])

  const last = acts[2] as Round
  const problemsOf = async (change: Partial<Round>): Promise<string> => {
    await write(home, [...acts.slice(0, 2), { ...last, ...change }])
    return (await audit(home)).problems.map(inOneLine).join('\n')
  }
  const forged = (change: Partial<NonNullable<MergeTerms['projection']>>): Partial<Round> => ({ merge: { ...last.merge, projection: { ...last.merge.projection as NonNullable<MergeTerms['projection']>, ...change } } })
  const { projection, ...mean } = last.merge
  const another = /entry 4: the 3 deltas of round 2 give state [0-9a-f]{12}, the entry says [0-9a-f]{12}$/
  t.regex(await problemsOf(forged({ rule: 'cagrad' })), another)
  t.regex(await problemsOf(forged({ options: { tau: 0.1 } })), another)
  t.regex(await problemsOf({ merge: mean }), another)
  const { history, ...without } = last
  await write(home, [...acts.slice(0, 2), without])
  t.regex((await audit(home)).problems.map(inOneLine).join('\n'), another)
  t.regex(await problemsOf(forged({ rule: 'best' })), /the merge that it describes cannot be: no gradient rule 'best'$/)
  t.regex(await problemsOf({ history: 'f0'.repeat(32) }), /the rule of round 2 looked at f0f0f0f0f0f0, says the entry; checkpoints\/host\/\S+ holds [0-9a-f]{12}$/)

  await write(home, acts)
  await rm(join(home, 'deltas', acts[2]?.merged[0]?.cid as string))
  t.deepEqual((await audit(home)).recomputed, [1])
})
