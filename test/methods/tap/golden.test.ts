/** TAP's rules against reference numbers: ../../vectors/tap/PROVENANCE.md. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { GraphBuilder } from '../../../src/graph/graph.ts'
import { Weights } from '../../../src/training/unit.ts'
import { createTask } from '../../../src/tasks/index.ts'
import { divergence, distil } from '../../../src/methods/tap/distil.ts'
import { meanHost } from '../../../src/methods/mean-host.ts'
import { modulePath, ownModules } from '../../../src/models/modular.ts'
import { marginOf, tapOptions } from '../../../src/methods/tap/options.ts'
import { replaces, warmedRate } from '../../../src/methods/tap/rules.ts'
import { LEVEL, SIDE, PICTURES } from '../../helpers/synthetic.ts'
import { TEXTS, TOPIC } from '../../helpers/texts.ts'
import { smallCharter } from '../../helpers/federation.ts'

interface Golden {
  cases: Array<{ model: string, task: string, teacher: number, student: number | string, margin: number, replace: boolean }>
  walk: Array<{ teacher: number, studentBefore: number | string, replace: boolean, studentAfter: number }>
  modulePaths: Record<string, string[]>
  replacedIfBoth: string[]
  aggregation: { server: Record<string, number[]>, clients: Array<{ n: number, modules: Record<string, number[]> }>, expected: Record<string, number[]> }
  warmup: Array<{ round: number, lr: number }>
}

interface Distillation {
  cases: Array<{ name: string, T: number, teacher: Nested, student: Nested, loss: number, gradStudent: Nested }>
  hand: { teacher: number[][], student: number[][], loss: number }
  total: { labels: number[], taskWeight: number, crossEntropy: number, kdWeight: number, kdWeightTextClassification: number, total: number, totalTextClassification: number }
}
type Nested = number[][] | number[][][]

const read = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../../vectors/tap/${name}.json`, import.meta.url), 'utf8')) as T
const golden = read<Golden>('tap-replacement')
const kd = read<Distillation>('kd-loss')
const flat = (values: Nested): number[] => (values as number[][][]).flat(2)
const near = (a: number, b: number, tolerance = 1e-9): boolean => Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b))

test('a personal model is replaced where the agreed one is better by more than the margin, as in the reference', t => {
  for (const { model, task, teacher, student, margin, replace } of golden.cases) t.is(replaces(teacher, Number(student), margin), replace, `${model} ${task} ${teacher} ${student}`)
})

test('a history walks as in the reference: infinite at first, and moved by what the site itself measured', t => {
  let student = Infinity
  for (const { teacher, studentBefore, replace, studentAfter } of golden.walk) {
    t.is(student, Number(studentBefore))
    t.is(replaces(teacher, student, 0.01), replace)
    student = studentAfter
  }
})

test('paths are the reference\'s, module by module', t => {
  t.deepEqual(modulePath(['image'], 'image_classification'), golden.modulePaths.image_classification)
  t.deepEqual(modulePath(['image', 'text'], 'text_generation'), golden.modulePaths.text_generation)
  const both = new Set([...modulePath(['image'], 'image_classification'), ...modulePath(['image', 'text'], 'text_generation')])
  t.deepEqual([...both].sort(), golden.replacedIfBoth)
  t.deepEqual(ownModules(['image'], 'digit'), ['expert/shared/digit', 'expert/image/digit', 'head/digit'])
})

test('modules are averaged by all rows of the sites that have them, and one that nobody has stays', t => {
  const { server, clients, expected } = golden.aggregation
  const charter = smallCharter([SIDE])
  const units = new Map(Object.entries(server).map(([name, values]) => {
    const g = new GraphBuilder()
    g.output('values', g.parameter('values', [values.length], { value: 0 }))
    const unit = new Weights(name, g.build(), { seed: 1, training: charter.training, rate: 0, optimiser: 'sgd' })
    unit.set(Float32Array.from(values))
    return [name, unit]
  }))
  const host = meanHost({ charter, units })
  host.apply(0, clients.map(({ n, modules }, i) => {
    const changes = Object.entries(modules).map(([name, values]) => [name, Float32Array.from(values, (value, at) => value - (server[name]?.[at] as number))] as const)
    return { client: `c${i}`, samples: n, row: new Float32Array(4).fill(1), units: new Set(Object.keys(modules)), tensors: new Map(changes) }
  }))
  for (const { name, tensor } of host.told('c0', 1)) expected[name]?.forEach((value, i) => { t.true(near(tensor.data[i] as number, value, 1e-6), name) })
})

test('distillation and its gradient are the reference\'s at every temperature', t => {
  for (const { name, T, teacher, student, loss, gradStudent } of kd.cases) {
    const channels = (name === 'sequence' ? (student as number[][][])[0]?.[0] : (student as number[][])[0])?.length as number
    const { value, grad } = divergence(flat(teacher), flat(student), { rows: student.length, channels, temperature: T })
    t.true(near(value, loss), `${name} ${T}`)
    flat(gradStudent).forEach((want, i) => { t.true(near(grad[i] as number, want), `${name} ${T} ${i}`) })
    for (let start = 0; start < grad.length; start += channels) t.true(Math.abs(grad.slice(start, start + channels).reduce((a, b) => a + b, 0)) < 1e-12)
  }
  t.true(near(divergence(flat(kd.hand.teacher), flat(kd.hand.student), { rows: 1, channels: 2, temperature: 1 }).value, kd.hand.loss))
  t.true(Math.abs(divergence([1, 2, 3], [6, 7, 8], { rows: 1, channels: 3, temperature: 1 }).value) < 1e-12, 'a constant in all scores changes nothing')
})

test('the gradient of distillation is what the loss does when an output moves', t => {
  const [teacher, student] = [[0.3, -1, 2, 0.5, 0.1, -0.4], [1, 0.2, -0.3, 0.8, -2, 0.6]]
  const h = 1e-6
  for (const spec of [{ ...TOPIC, channels: 3 }, { ...LEVEL, channels: 3, targets: 3 }]) {
    const of = (values: number[]): ReturnType<typeof distil> => distil(spec, { shape: [2, 1, 3], data: teacher as unknown as Float32Array }, { shape: [2, 1, 3], data: values as unknown as Float32Array }, 2)
    const { grad } = of(student)
    student.forEach((_, i) => {
      const [up, down] = [h, -h].map(by => of(student.map((value, at) => at === i ? value + by : value)).value) as [number, number]
      t.true(Math.abs((up - down) / (2 * h) - (grad[i] as number)) < 1e-7, `${spec.kind} ${i}`)
    })
  }
})

test('what stage 2 descends is the tasks\' share of their loss and the whole distillation', t => {
  const { labels, taskWeight, crossEntropy, kdWeight, kdWeightTextClassification, total, totalTextClassification } = kd.total
  const { teacher, student } = kd.cases[0] as Distillation['cases'][number]
  const shape = [4, 1, 3]
  const outputs = (values: Nested): { shape: number[], data: Float32Array } => ({ shape, data: Float32Array.from(flat(values)) })
  const { value } = createTask(TOPIC).loss(outputs(student), { shape: [4, 1, 1], data: Float32Array.from(labels) })
  const pull = distil(TOPIC, outputs(teacher), outputs(student), 1).value
  t.true(near(value, crossEntropy, 1e-6))
  t.true(near(taskWeight * value + kdWeight * pull, total, 1e-6))
  t.true(near(taskWeight * value + kdWeightTextClassification * pull, totalTextClassification, 1e-6))
})

test('the rate rises over the first rounds, as in the reference', t => {
  for (const { round, lr } of golden.warmup) t.true(near(warmedRate(round, { low: 1e-4, peak: 3e-4, rounds: 20 }), lr))
})

test('classes of texts and pictures as outputs have the small margin', t => {
  const options = tapOptions({})
  t.is(marginOf(TOPIC, TEXTS, options), 0.005)
  t.is(marginOf(SIDE, PICTURES, options), 0.01)
  t.is(marginOf({ ...LEVEL, kind: 'dense-regression' }, PICTURES, options), 0.005)
  t.deepEqual(tapOptions({ ...options }), options)
})
