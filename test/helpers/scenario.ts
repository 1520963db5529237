/**
 * One host and its sites through a whole run, with what may befall them: sites that answer in a given order, leave, stay away
 * for some steps, or send numbers that are none. No local models. Everything waits for events; nothing depends on how fast a machine is.
 */
import { attach, makeClient, makeHost, until } from './federation.ts'
import { byName } from './tensors.ts'
import type { Attachment } from './federation.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { Frame, RoundReport } from '../../src/backbone/frames.ts'

/** Calls of a client's trainer whose results go to the host. */
export type Upload = 'forward' | 'backward' | 'finish' | 'contribute'

export interface Scenario {
  /** In the order in which they attach. */
  readonly sites: readonly ClientData[]
  /** The order in which they answer every step; left out: as it comes. */
  readonly answers?: readonly string[]
  /** Closes its channel before it has sent anything of step `at`. */
  readonly leaves?: { readonly client: string, readonly at: number }
  /** Leaves in the same way before step `from`, and is back for step `to`. */
  readonly away?: { readonly client: string, readonly from: number, readonly to: number }
  /** Sends one NaN in this upload of step `at`. */
  readonly lies?: { readonly client: string, readonly at: number, readonly upload: Upload }
}

export interface Bytes { readonly up: number, readonly down: number }

export interface Outcome {
  /** Weights of every client and of 'host'. */
  readonly fingerprints: Readonly<Record<string, string>>
  /** Everything that each of them would save, by name. */
  readonly states: Readonly<Record<string, Readonly<Record<string, Float32Array>>>>
  /** Who took part, step by step. */
  readonly steps: ReadonlyArray<readonly string[]>
  /** Each with the payload of all frames until it was closed, counted where they are sent. */
  readonly rounds: ReadonlyArray<{ readonly report: RoundReport, readonly sent: Bytes }>
  /** What a client's channel says at the end, and what was counted there. */
  readonly traffic: Readonly<Record<string, { readonly said: Bytes, readonly sent: Bytes }>>
  /** Payload as the host says at the end. */
  readonly hostBytes: Bytes
  readonly reports: readonly ClientReport[]
  /** Why the host let each client go. */
  readonly ended: Readonly<Record<string, string>>
}

export type Runner = (backend: Backend, charter: Charter, scenario: Scenario) => Promise<Outcome>

const FLOAT_BYTES = 4

/** The charter's exchange is expected to be f32: four bytes a number. */
export const runScenario: Runner = async (backend, charter, { sites, answers, leaves, away, lies }) => {
  const agreed = { ...charter, clock: { ...charter.clock, quorum: sites.length } }
  const sent = new Map(sites.map(({ id }) => [id, { up: 0, down: 0 }]))
  const sum = (): Bytes => [...sent.values()].reduce((total, { up, down }) => ({ up: total.up + up, down: total.down + down }), { up: 0, down: 0 })
  const rounds: Array<Outcome['rounds'][number]> = []
  const home = makeHost(backend, agreed, { commit: async ({ report }) => { rounds.push({ report, sent: sum() }) } })
  const steps: string[][] = []
  const ended: Record<string, string> = {}
  const began = new Map<string, PromiseWithResolvers<void>>()
  const beginning = (client: string, step: number): PromiseWithResolvers<void> => {
    const key = `${client} ${step}`
    const known = began.get(key) ?? Promise.withResolvers<void>()
    began.set(key, known)
    return known
  }
  const closed = new Map<number, Promise<unknown>>()
  // A client without shared units goes on before the host has closed the step: whatever befalls it does so after that.
  for (const { at } of [leaves, lies, away === undefined ? undefined : { at: away.from }].filter(each => each !== undefined)) {
    closed.set(at, at === 0 ? Promise.resolve() : until<{ step: number }>(home.host, 'step:done', ({ step }) => step === at - 1))
  }
  const back = Promise.withResolvers<void>()
  let gone = false
  const upload = charter.model.trunk === 'client' ? 'contribute' : 'forward'
  const clients = sites.map(site => makeClient(backend, agreed, site, {
    [upload]: async (step: number) => {
      if ([leaves, lies, away].some(each => each?.client === site.id)) await closed.get(step)
      if (leaves?.client === site.id && step === leaves.at) throw new Error('left')
      if (away?.client === site.id && step === away.from && !gone) {
        gone = true
        throw new Error('left for a while')
      }
      if (away !== undefined && away.client !== site.id && step === away.to) await back.promise
      const before = answers?.[answers.indexOf(site.id) - 1]
      if (before !== undefined) await beginning(before, step).promise
    }
  }, false))
  const liar = clients.find(({ name }) => name === lies?.client)
  if (liar !== undefined && lies !== undefined) lie(liar.trainer, lies.upload, lies.at)
  const join = (client: typeof clients[number]): Attachment => {
    const counted = sent.get(client.name) as { up: number, down: number }
    const attachment = attach(home, client, agreed,
      frame => {
        counted.up += payload(frame)
        if (frame.kind === 'forward' || frame.kind === 'share') beginning(client.name, frame.step).resolve()
      },
      frame => { counted.down += payload(frame) })
    void attachment.served.then(reason => { ended[client.name] = reason })
    return attachment
  }
  const attachments = new Map<string, Attachment[]>()
  const returned = Promise.withResolvers<void>()
  if (away === undefined) returned.resolve()
  home.host.addEventListener('step:done', ({ detail: { step, contributors } }) => {
    steps.push([...contributors])
    if (away === undefined || step !== away.to - 1) return
    attachments.get(away.client)?.push(join(clients.find(({ name }) => name === away.client) as typeof clients[number]))
    returned.resolve()
  })
  home.host.addEventListener('client:attached', ({ detail: { client, returning } }) => { if (returning && client === away?.client) back.resolve() })
  for (const client of clients) attachments.set(client.name, [join(client)])
  home.host.start()
  const ran = async (): Promise<void> => { await Promise.all([...attachments.values()].flat().map(async ({ ran }) => { await ran.catch(() => undefined) })) }
  await returned.promise
  await ran()
  await home.host.finished
  await home.host.stop()
  const all = [...clients.map(({ name, trainer }) => [name, trainer] as const), ['host', home.trainer] as const]
  const outcome: Outcome = {
    fingerprints: Object.fromEntries(all.map(([name, trainer]) => [name, trainer.fingerprint()])),
    states: Object.fromEntries(all.map(([name, trainer]) => [name, byName(trainer.save())])),
    steps,
    rounds,
    traffic: Object.fromEntries([...attachments].map(([name, ends]) => [name, {
      said: ends.reduce((total, { channels: { client: { bytes } } }) => ({ up: total.up + bytes.sent, down: total.down + bytes.received }), { up: 0, down: 0 }),
      sent: sent.get(name) as Bytes
    }])),
    hostBytes: { up: home.host.bytes.received, down: home.host.bytes.sent },
    reports: await Promise.all(clients.filter(({ name }) => name !== leaves?.client && name !== lies?.client).map(async ({ client }) => await client.report())),
    ended
  }
  for (const [, trainer] of all) trainer.dispose()
  return outcome
}

function payload ({ tensors }: Frame): number { return tensors.reduce((bytes, { tensor: { data } }) => bytes + FLOAT_BYTES * data.length, 0) }

type Trainer = ReturnType<typeof makeClient>['trainer']

/** One number of what the trainer hands out becomes NaN. */
function lie (trainer: Trainer, upload: Upload, at: number): void {
  const spoil = ({ data }: { readonly data: Float32Array }): void => { data[data.length - 1] = Number.NaN }
  const { forward, backward, finish, contribute } = trainer
  switch (upload) {
    case 'forward':
      trainer.forward = async step => {
        const activations = await forward.call(trainer, step)
        if (step === at) spoil(activations)
        return activations
      }
      return
    case 'backward':
      trainer.backward = async (step, features) => {
        const result = await backward.call(trainer, step, features)
        if (step === at) for (const { tensor } of result.featureGrads) spoil(tensor)
        return result
      }
      return
    case 'finish':
      trainer.finish = async (step, gradient) => {
        const shared = await finish.call(trainer, step, gradient)
        if (step === at) for (const { tensor } of shared) spoil(tensor)
        return shared
      }
      return
    case 'contribute':
      trainer.contribute = async step => {
        const result = await contribute.call(trainer, step)
        if (step === at) for (const { tensor } of result.changes) spoil(tensor)
        return result
      }
  }
}
