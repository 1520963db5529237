import { readFileSync } from 'node:fs'
import test from 'ava'
import { close } from '../helpers/tensors.ts'
import { averageLinkage, distancesOf } from '../../src/combinatorics/linkage.ts'
import { backendOn } from '../helpers/rungs.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { demlearn } from '../../src/methods/demlearn/index.ts'
import { groupsOf, lowered, meanOf, parentsOf } from '../../src/methods/demlearn/tree.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { followed } from '../../src/training/local-rules.ts'
import { hostOf } from '../../src/methods/index.ts'
import { meanScore, skewed, trainedBy } from '../helpers/method-runs.ts'
import { SIDE } from '../helpers/synthetic.ts'
import { SavedState } from '../../src/training/saved-state.ts'
import { Weights } from '../../src/training/unit.ts'
import { smallCharter } from '../helpers/federation.ts'
import type { Group } from '../../src/methods/demlearn/tree.ts'
import type { HostMethod } from '../../src/methods/index.ts'
import type { MethodShare } from '../../src/methods/method.ts'

interface Node { readonly id: number | 'root', readonly level: number, readonly children: Array<Node | number> }
interface Level {
  readonly tree: Node
  readonly up: Record<string, { readonly model: number[], readonly count: number }>
  readonly clientsAfterDown: Record<string, number[]>
}
const { points, alpha, levels } = JSON.parse(readFileSync(new URL('../vectors/methods/demlearn-tree.json', import.meta.url), 'utf8')) as { points: number[][], alpha: number, levels: Record<string, Level> }
const EXACT = 1e-9

const merges = averageLinkage(distancesOf(points.map(point => [point]), 'euclidean'))
const nameOf = ({ parent, node }: Group): number | 'root' => parent === undefined ? 'root' : node

for (const [levelCount, want] of Object.entries(levels)) {
  const groups = groupsOf(merges, Number(levelCount))
  const parents = parentsOf(groups)

  test(`the hierarchy of ${levelCount} levels is that of the reference`, t => {
    const treeAt = (at: number): Node => {
      const group = groups[at] as Group
      const below = groups.flatMap(({ parent }, child) => parent === at ? [treeAt(child)] : [])
      return { id: nameOf(group), level: group.level, children: [...parents.flatMap((parent, point) => parent === at ? [point] : []), ...below] }
    }
    t.deepEqual(treeAt(0), want.tree)
  })

  test(`with ${levelCount} levels, means go up and shares of them down as in the reference`, t => {
    const models = groups.map(group => meanOf(group.points.map(point => points[point] as number[])))
    groups.forEach((group, at) => {
      const { model, count } = want.up[nameOf(group)] as Level['up'][string]
      close(t, `group ${nameOf(group)}`, models[at] as Float64Array, model, EXACT)
      t.is(group.points.length, count)
    })
    close(t, 'root', models[0] as Float64Array, meanOf(points), EXACT)
    points.forEach((point, i) => {
      const own = followed(Float64Array.from(point), lowered(groups, models, parents[i] as number, alpha), alpha)
      close(t, `point ${i}`, own, want.clientsAfterDown[i] as number[], EXACT)
    })
  })
}

test('a group without a model of its own has its parent\'s', t => {
  const groups = [{ parent: undefined }, { parent: 0 }, { parent: 1 }]
  t.deepEqual([...lowered(groups, [Float64Array.of(2), undefined, Float64Array.of(4)], 2, 0.5)], [3])
})

test('options have defaults, and what cannot be is refused', t => {
  t.deepEqual(demlearn.options({}), { levels: 3, every: 1, alpha: 0.6, mu: 0.002, distance: 'euclidean' })
  t.deepEqual(demlearn.options({ ...demlearn.options({ levels: 2 }) }), demlearn.options({ levels: 2 }))
  for (const wrong of [{ levels: 0 }, { every: 1.5 }, { alpha: 1.1 }, { mu: -1 }, { distance: 'manhattan' }, { depth: 2 }]) {
    t.throws(() => demlearn.options(wrong), { instanceOf: InvalidParametersError }, JSON.stringify(wrong))
  }
})

test('sites come and go between two clusterings: a newcomer hangs at the root, and a checkpoint tells the same', t => {
  const charter = smallCharter([SIDE], settingsOf(findStrategy('demlearn'), {}, { method: { levels: 1, every: 2 } }))
  const graph = buildTrunk({ ...charter.model.backbone, layers: 0 })
  const hostWith = (): { unit: Weights, host: HostMethod } => {
    const unit = new Weights('trunk', graph, { seed: 1, training: charter.training, rate: 0, optimiser: 'sgd' })
    return { unit, host: hostOf({ charter, units: new Map([['trunk', unit]]) }) }
  }
  const { unit, host } = hostWith()
  const start = unit.startValues()
  const share = (client: string, by: number): MethodShare => {
    const row = start.map(() => by)
    return { client, samples: 1, row, units: new Set(['trunk']), tensors: new Map([['trunk', row]]) }
  }
  const told = (of: HostMethod, client: string): number => Number(((of.told(client, 1)[0]?.tensor.data[0] ?? Number.NaN) - (start[0] as number)).toFixed(5))
  t.deepEqual(host.told('ada', 0), [])
  host.apply(0, [share('ada', 0), share('ben', 1), share('cyd', 8), share('dan', 9)])
  t.deepEqual(['ada', 'ben', 'cyd', 'dan', 'eve'].map(client => told(host, client)), [2.9, 2.9, 6.1, 6.1, 4.5]) // .4 of the pair's mean and .6 of the root's
  host.apply(1, [share('ada', 2), share('cyd', 8), share('eve', 5)])
  t.deepEqual(['ada', 'ben', 'cyd', 'dan', 'eve'].map(client => told(host, client)), [3.8, 3.8, 6.2, 6.2, 5])
  const { unit: later, host: restarted } = hostWith()
  restarted.load?.(new SavedState(host.save?.() ?? []))
  later.set(unit.parameters)
  for (const client of ['ada', 'ben', 'cyd', 'dan', 'eve']) t.deepEqual(restarted.told(client, 2), host.told(client, 2))
  later.set(unit.parameters.map(value => value + 1)) // hosts have merged
  t.is(told(restarted, 'eve'), 6)
  t.is(told(restarted, 'ada'), 4.4)
})

test('where groups disagree on two labels of four, sites know their own rows better than FedAvg, and all rows as well', async t => {
  const dataset = skewed({ sites: 6, rows: [48, 12, 150], noise: 0.3, named: (site, label) => site < 3 || label < 2 ? label : 5 - label })
  const backend = await backendOn('wasm')
  const [own, mean] = [await trainedBy(backend, 'demlearn', dataset, { rounds: 4 }), await trainedBy(backend, 'fedavg', dataset, { rounds: 4 })]
  const [special, general, meanSpecial, meanGeneral] = [meanScore(own, 'own'), meanScore(own, 'all'), meanScore(mean, 'own'), meanScore(mean, 'all')]
  t.log(`own rows: demlearn ${special.toFixed(3)}, fedavg ${meanSpecial.toFixed(3)}; all rows: ${general.toFixed(3)}, ${meanGeneral.toFixed(3)}`)
  t.true(special > meanSpecial + 0.1)
  t.true(general > meanGeneral - 0.03)
})
