/** A run in two halves: what every trainer had saved when the plug was pulled, and a second half that starts from it. */
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { attach, makeClient, makeHost, until } from './federation.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

type States = Readonly<Record<string, NamedTensor[]>>

/**
 * Weights of every client and of 'host' after a run that was cut when step `cut` had been trained and not been sent.
 * @param init.then - who comes back for the second half; default: everybody
 * @param init.baseline - false: without local models
 */
export async function runInHalves (backend: Backend, charter: Charter, sites: readonly ClientData[], cut: number, { then = sites, baseline = true }: { then?: readonly ClientData[], baseline?: boolean } = {}): Promise<Readonly<Record<string, string>>> {
  const states = await part(backend, charter, sites, { states: {}, from: 0, cut, baseline })
  const end = await part(backend, { ...charter, clock: { ...charter.clock, quorum: then.length } }, then, { states, from: cut, cut: Infinity, baseline })
  return Object.fromEntries(Object.entries(end).map(([name, state]) => {
    const site = sites.find(({ id }) => id === name)
    const trainer = site === undefined ? new HostTrainer(backend, charter) : makeClient(backend, charter, site, {}, baseline).trainer
    trainer.load(state)
    const hash = trainer.fingerprint()
    trainer.dispose()
    return [name, hash]
  }))
}

/** @returns what each trainer had when step `cut` began, or at the end */
async function part (backend: Backend, charter: Charter, sites: readonly ClientData[], { states, from, cut, baseline }: { states: States, from: number, cut: number, baseline: boolean }): Promise<Record<string, NamedTensor[]>> {
  const home = makeHost(backend, charter, { id: 'host' })
  if (states.host !== undefined) home.trainer.load(states.host)
  home.host.resume(from)
  const clients = sites.map(site => makeClient(backend, charter, site, {}, baseline))
  // A client without shared units goes on before the host has closed the step: the plug is pulled when that is done.
  const before = until<{ step: number }>(home.host, 'step:done', ({ step }) => step === cut - 1)
  const saved: Record<string, NamedTensor[]> = {}
  const attached = clients.map(client => {
    const { name, trainer } = client
    const state = states[name]
    if (state !== undefined) trainer.load(state)
    client.client.resume({ step: from, localSteps: from })
    // Training at step `cut` begins before the plug is pulled: saved is the state before it.
    const [contribute, forward] = [trainer.contribute.bind(trainer), trainer.forward.bind(trainer)]
    const save = (step: number): void => { if (step === cut) saved[name] = structuredClone(trainer.save()) }
    trainer.contribute = async step => {
      save(step)
      return await contribute(step)
    }
    trainer.forward = async step => {
      save(step)
      if (step === cut) await before
      return await forward(step)
    }
    return attach(home, client, charter, frame => { if (/^(share|forward)$/.test(frame.kind) && frame.step === cut) throw new Error('pulled the plug') })
  })
  home.host.start()
  await Promise.all(attached.map(async ({ ran }) => { await ran.catch(() => undefined) }))
  for (const { trainer, name } of clients) saved[name] ??= trainer.save()
  saved.host = structuredClone(home.trainer.save())
  await home.host.stop()
  for (const { trainer } of [...clients, home]) trainer.dispose()
  return saved
}
