import test from 'ava'
import { CLIENT_FRAMES, HOST_FRAMES } from '../../src/backbone/frames.ts'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { ContentGuard, outgoingGuard } from '../../src/backbone/guard.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { PrivacyError } from '../../src/errors.ts'
import { attach, backwardAlone, forwardAlone, makeClient, makeHost, smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName } from '../helpers/tensors.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { LEVEL, MASK, PICTURES, SIDE, THREE, clientData } from '../helpers/synthetic.ts'
import type { Frame } from '../../src/backbone/frames.ts'
import type { Rows } from '../../src/data/dataset.ts'

const backend = await backendOn('cpu')
const TASKS = [LEVEL, MASK, SIDE]

interface Secret { readonly what: string, readonly numbers: Float32Array }

/** Where `secret` stands in `sent` as a run of equal numbers. A run of one repeated number says nothing. */
function contains (sent: Float32Array, { numbers }: Secret): boolean {
  if (numbers.length < 4 || numbers.every(value => value === numbers[0])) return false
  for (let at = sent.indexOf(numbers[0] as number); at !== -1; at = sent.indexOf(numbers[0] as number, at + 1)) {
    if (numbers.every((value, i) => sent[at + i] === value)) return true
  }
  return false
}

/** Every picture, its pieces, every picture of labels, and the labels of all rows side by side. */
function secretsOf (id: string, part: string, rows: Rows): Secret[] {
  const secrets: Secret[] = []
  const embedder = createEmbedder({ kind: 'patches', patch: 4, stride: 4, padding: 0 }, PICTURES, 8)
  const each = (what: string, values: Float32Array, size: number): void => {
    for (let at = 0; at < values.length; at += size) secrets.push({ what: `${id} ${part} ${what} ${at / size}`, numbers: values.slice(at, at + size) })
  }
  each('picture', rows.x, 64)
  each('line of a picture', rows.x, 8)
  each('piece', embedder.unfold(rows.x, rows.count).data, 16)
  for (const [task, y] of Object.entries(rows.y)) each(`labels of ${task}`, y, task === 'mask' ? 64 : y.length)
  return secrets
}

for (const shared of [false, true]) {
  test.serial(`no frame of a whole run holds a row, a label or a private weight, ${shared ? 'shared' : 'private'} embedder`, async t => {
    const charter = smallCharter(TASKS, { model: { sharedEmbedder: shared }, clock: { quorum: 3 }, training: { stepsPerRound: 2 } })
    const home = makeHost(backend, charter)
    const frames: Array<{ client: string, frame: Frame }> = []
    const weights: Secret[] = []
    const clients = THREE.map(client => makeClient(backend, charter, clientData(client)))
    const attached = clients.map(client => attach(home, client, charter, frame => {
      frames.push({ client: client.name, frame: structuredClone(frame) })
      for (const [name, numbers] of Object.entries(byName(client.trainer.save()))) {
        const isPrivate = name.startsWith('head/') || name.startsWith('local') || (name.startsWith('embed/') && !shared)
        if (!isPrivate || name.endsWith('.step')) continue
        weights.push({ what: `${client.name} ${name}`, numbers })
        for (let at = 0; at + 8 <= numbers.length; at += 8) weights.push({ what: `${client.name} ${name} from ${at}`, numbers: numbers.slice(at, at + 8) })
      }
    }))
    home.host.start()
    await Promise.all(attached.map(({ ran }) => ran))
    const rows = THREE.flatMap(client => {
      const { train, holdout, test: tests } = clientData(client)
      return [...secretsOf(client.id, 'train', train), ...secretsOf(client.id, 'hold-out', holdout), ...secretsOf(client.id, 'test', tests)]
    })
    const known = new Set<string>()
    const secrets = [...rows, ...weights].filter(({ numbers }) => {
      const key = numbers.join()
      return known.has(key) ? false : known.add(key)
    })
    t.true(frames.length > 3 * 2 * 4 && secrets.length > 1000, `${frames.length} frames, ${secrets.length} secrets`)
    const kinds = new Set(frames.map(({ frame }) => frame.kind))
    t.deepEqual([...kinds].sort(), [...shared ? ['eval-forward', 'forward', 'grads', 'leave', 'share'] : ['eval-forward', 'forward', 'grads', 'leave']])
    for (const { client, frame } of frames) {
      for (const { name, tensor } of frame.tensors) {
        if (frame.kind === 'share') t.is(name, 'embed/image')
        const found = secrets.filter(secret => contains(tensor.data, secret))
        t.deepEqual(found.map(({ what }) => what), [], `${client} ${frame.kind} ${name}`)
      }
    }
    // The scan itself finds what is planted.
    const line = rows.find(({ what }) => what.includes('line')) as Secret
    t.true(contains(Float32Array.of(9, 9, ...line.numbers, 9), line))
    t.false(contains(Float32Array.of(9, 9, ...line.numbers.slice(1), 9), line))
    await home.host.stop()
  })
}

const guard = outgoingGuard({ cut: [4, 8], tasks: ['side', 'level'], shared: ['embed/image'] })
const cut = { shape: [6, 4, 8], data: new Float32Array(192) }
const head = { shape: [44], data: new Float32Array(44) }
const rows = { shape: [6, 8, 8, 1], data: new Float32Array(384) }
const frame = (kind: Frame['kind'], ...tensors: Array<[string, { shape: number[], data: Float32Array }]>): Frame =>
  ({ kind, step: 0, tensors: tensors.map(([name, tensor]) => ({ name, tensor })) })

for (const { id, sent } of [
  { id: 'a head in a share frame', sent: frame('share', ['head/side', head]) },
  { id: 'the trunk in a share frame', sent: frame('share', ['trunk', head]) },
  { id: 'raw rows in a forward frame', sent: frame('forward', ['activations', rows]) },
  { id: 'rows flattened in a forward frame', sent: frame('forward', ['activations', { shape: [6, 64], data: rows.data }]) },
  { id: 'another name in a forward frame', sent: frame('forward', ['rows', cut]) },
  { id: 'a second tensor in a forward frame', sent: frame('forward', ['activations', cut], ['labels', cut]) },
  { id: 'raw rows in an evaluation', sent: frame('eval-forward', ['activations', rows]) },
  { id: 'a tensor in a verdict', sent: frame('eval-result', ['activations', cut]) },
  { id: 'a tensor in a goodbye', sent: frame('leave', ['activations', cut]) },
  { id: 'gradients of a task of others', sent: frame('grads', ['task/mask', cut]) },
  { id: 'a head gradient in a grads frame', sent: frame('grads', ['client', head]) },
  ...HOST_FRAMES.map(kind => ({ id: `a host's ${kind} frame`, sent: frame(kind) })),
  { id: 'a frame of no known kind', sent: frame('weights' as Frame['kind']) }
]) {
  test(`is refused: ${id}`, t => {
    const error = t.throws(() => { guard(sent) }, { instanceOf: PrivacyError, code: 'ERR_PRIVACY' })
    t.truthy(error.next)
  })
}

for (const { id, sent } of [
  { id: 'activations', sent: frame('forward', ['activations', cut]) },
  { id: 'gradients of a client', sent: frame('grads', ['client', cut]) },
  { id: 'gradients by task', sent: frame('grads', ['task/side', cut], ['task/level', cut]) },
  { id: 'a shared unit', sent: frame('share', ['embed/image', head]) },
  ...CLIENT_FRAMES.map(kind => ({ id: `an empty ${kind} frame`, sent: frame(kind) }))
]) test(`may go: ${id}`, t => { t.notThrows(() => { guard(sent) }) })

const wholeGuard = outgoingGuard({ cut: [4, 8], tasks: ['side', 'level'], shared: ['trunk', 'embed/image'], whole: true })

for (const { id, sent } of [
  { id: 'activations', sent: frame('forward', ['activations', cut]) },
  { id: 'gradients at the cut', sent: frame('grads', ['client', cut]) },
  { id: 'activations of an evaluation', sent: frame('eval-forward', ['activations', cut]) },
  { id: 'a private head', sent: frame('share', ['trunk', head], ['head/side', head]) }
]) {
  test(`is refused where the client holds the whole model: ${id}`, t => {
    t.throws(() => { wholeGuard(sent) }, { instanceOf: PrivacyError, code: 'ERR_PRIVACY' })
  })
}

test('the changes of shared units may go where the client holds the whole model', t => {
  t.notThrows(() => { wholeGuard(frame('share', ['trunk', head], ['embed/image', head])) })
})

test('a copy of the batch is refused under any name, whatever was sent in between', t => {
  const content = new ContentGuard()
  const batch = clientData({ id: 'ada', tasks: [SIDE] }).train
  content.protect('the raw rows of a batch', batch.x)
  content.protect('the labels of side', batch.y.side as Float32Array)
  const planted = { name: 'activations', tensor: { shape: [12, 8, 8], data: batch.x.slice() } }
  outgoingGuard({ cut: [8, 8], tasks: ['side'], shared: [] })({ kind: 'forward', step: 0, tensors: [planted] }) // its form is right
  const error = t.throws(() => { content.check(planted.name, planted.tensor.data) }, { instanceOf: PrivacyError })
  t.regex(error.message, /activations.*raw rows/)
  t.throws(() => { content.check('client', (batch.y.side as Float32Array).slice()) }, { instanceOf: PrivacyError })
  planted.tensor.data[3] = 7
  t.notThrows(() => { content.check(planted.name, planted.tensor.data) })
})

test('numbers that all are the same say nothing; the oldest buffers are forgotten first', t => {
  const content = new ContentGuard(2)
  content.protect('zeros', new Float32Array(8))
  t.notThrows(() => { content.check('activations', new Float32Array(8)) })
  const buffers = [1, 2, 3].map(seed => Float32Array.of(seed, 5, 6))
  for (const buffer of buffers) content.protect('rows', buffer)
  t.notThrows(() => { content.check('x', buffers[0] as Float32Array) })
  for (const buffer of buffers.slice(1)) t.throws(() => { content.check('x', buffer) }, { instanceOf: PrivacyError })
})

/** An embedder of weight one and no bias passes its pieces on as they are: the worst that tampering could do. */
async function transparent (patch: number): Promise<ClientTrainer> {
  const width = patch * patch
  const charter = smallCharter([SIDE], { model: { width, heads: 1, embedder: { patch } } })
  const trainer = new ClientTrainer(backend, charter, clientData({ id: 'ada', tasks: [SIDE] }), { control: false })
  const state = trainer.save()
  byName(state)['embed/image']?.fill(0).set(Float32Array.from({ length: width * width }, (_, i) => i % (width + 1) === 0 ? 1 : 0))
  trainer.load(state)
  return trainer
}

for (const { id, patch } of [{ id: 'whole pictures', patch: 8 }, { id: 'pieces of pictures', patch: 4 }]) {
  test.serial(`an embedder that passes ${id} on unchanged gets nothing out`, async t => {
    const trainer = await transparent(patch)
    await t.throwsAsync(trainer.forward(0), { instanceOf: PrivacyError })
    await t.throwsAsync(trainer.evaluateForward('holdout', 0), { instanceOf: PrivacyError })
    await t.throwsAsync(trainer.evaluateForward('test', 0), { instanceOf: PrivacyError })
    trainer.dispose()
  })
}

test.serial('an ordinary step passes the guards', async t => {
  const charter = smallCharter(TASKS, { model: { sharedEmbedder: true, sharedHeads: ['side'] } })
  const trainer = new ClientTrainer(backend, charter, clientData({ id: 'ada', tasks: TASKS }), { control: false })
  const host = new HostTrainer(backend, charter)
  for (let step = 0; step < 3; step++) {
    const { featureGrads } = await trainer.backward(step, await forwardAlone(host, 'ada', step, await trainer.forward(step)))
    const shared = await trainer.finish(step, await backwardAlone(host, 'ada', step, featureGrads))
    t.deepEqual(shared.map(({ name }) => name), ['embed/image', 'head/side'])
    host.share('ada', step, shared)
    host.applyStep(step, ['ada'])
    trainer.adopt(host.clientUnits())
  }
  trainer.dispose()
  host.dispose()
})
