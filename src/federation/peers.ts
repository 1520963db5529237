/**
 * Sites that trade models, in one process and in virtual time: every site trains at its own pace, publishes at the steps that
 * the charter says, and chooses anew whenever a model arrives. Nobody waits for anybody; who is late is taken late. Time is
 * counted in gradient steps of a site of pace 1, and goes by the charter's seed.
 */
import { PeerTrainer } from '../bench/peer-trainer.ts'
import { Random, deriveSeed } from '../random.ts'
import { localStepsOf } from '../training/spec.ts'
import { meanByTask } from './round-log.ts'
import { weightsHash } from '../bench/card.ts'
import { withTasks } from '../data/dataset.ts'
import type { ClientDescription } from '../training/client-description.ts'
import type { Considered, Explanation, Published } from '../bench/peer-trainer.ts'
import type { ModelCard } from '../bench/card.ts'
import type { SimulationInit, SimulationResult } from './simulator.ts'

export interface PeersInit extends Pick<SimulationInit, 'charter' | 'dataset' | 'backend' | 'clients' | 'tasksOf' | 'all'> {
  /** How many times longer than the fastest a site takes for its training, by its place. Default: half of them 1, the others 2 to 3. */
  readonly pace?: readonly number[]
  readonly onReady?: (client: string, samples: ClientDescription['samples']) => void
  /** After as many gradient steps of a site as one step of the clock means: mean loss per task. */
  readonly onStep?: (client: string, step: number, losses: Readonly<Record<string, number>>) => void
  /** A site offers a model to the others. */
  readonly onPublished?: (client: string, card: ModelCard) => void
  readonly onArrival?: (arrival: Arrival) => void
  readonly onCommittee?: (client: string, explanation: Explanation) => void
}

/** A model of a peer has reached a site. */
export interface Arrival extends Considered {
  readonly time: number
  /** Whose bench it came to. */
  readonly client: string
  readonly card: ModelCard
  /** Its weights came too; of what is not wanted the card alone does. */
  readonly pulled: boolean
  /** Of the committees that serve then, on the site's hold-out; mean over its tasks, NaN before the site has a model. */
  readonly chosen: number
}

export interface PeersResult extends SimulationResult {
  readonly arrivals: readonly Arrival[]
  /** Who serves at each site in the end, and why. */
  readonly committees: ReadonlyMap<string, Explanation>
}

interface Site {
  readonly name: string
  readonly trainer: PeerTrainer
  readonly pace: number
}

type Event = { readonly time: number } & (
  | { readonly kind: 'publish', readonly site: Site, readonly step: number }
  | { readonly kind: 'arrive', readonly site: Site, readonly published: Published, readonly card: ModelCard }
)

/** Of the slow half; a laptop beside a workstation. */
const SLOW = [2, 3] as const
/** The longest way of a model from site to site, as a share of the fastest training. */
const TRANSIT = 0.2

export async function simulatePeers (init: PeersInit): Promise<PeersResult> {
  const { charter, dataset, backend } = init
  const random = new Random(deriveSeed(charter.seed, 'delays'))
  const pace = init.pace ?? paces(dataset.clientIds.length, random)
  const sites: Site[] = []
  const arrivals: Arrival[] = []
  const committees = new Map<string, Explanation>()
  const liveTensors: number[] = []
  let bytes = 0
  try {
    for (const [i, id] of dataset.clientIds.entries()) {
      const own = await dataset.client(id)
      const whole = init.all === undefined ? own : { ...own, all: init.all }
      const data = init.tasksOf === undefined ? whole : withTasks(whole, init.tasksOf(id))
      const name = init.clients[i] ?? id
      const trainer = new PeerTrainer(backend, charter, data, { peer: name })
      sites.push({ name, trainer, pace: pace[i] ?? 1 })
      init.onReady?.(id, trainer.describe().samples)
    }
    const { steps, publishAt } = (sites[0] as Site).trainer.describe()
    const events: Event[] = sites.flatMap(site => publishAt.map(step => ({ kind: 'publish', time: step * site.pace, site, step }) as const))
    for (let event = next(events); event !== undefined; event = next(events)) {
      const { time, site } = event
      if (event.kind === 'publish') {
        await train(site, event.step)
        for (const published of await site.trainer.publish()) {
          const card = { ...published.card, sha256: weightsHash(published.weights) }
          init.onPublished?.(site.name, card)
          for (const other of sites) if (other !== site) events.push({ kind: 'arrive', time: time + TRANSIT * steps * random.next(), site: other, published, card })
        }
        await choose(site)
        liveTensors.push(backend.liveTensors())
      } else {
        const { card, published } = event
        const { wanted, reason } = site.trainer.wanted(card)
        if (wanted) bytes += card.bytes
        const considered = wanted ? await site.trainer.consider(card, published.weights) : { accuracy: Number.NaN, kept: false, reason }
        if (considered.kept) await choose(site)
        const arrival: Arrival = { ...considered, time, client: site.name, card, pulled: wanted, chosen: accuracyAt(site) }
        arrivals.push(arrival)
        init.onArrival?.(arrival)
      }
    }
    return {
      clients: await Promise.all(sites.map(async ({ trainer }) => await trainer.report())),
      rounds: [],
      fingerprints: Object.fromEntries(sites.map(({ name, trainer }) => [name, trainer.fingerprint()])),
      liveTensors,
      bytes: { up: bytes, down: bytes },
      arrivals,
      committees
    }
  } finally {
    for (const { trainer } of sites) trainer.dispose()
  }

  async function choose ({ name, trainer }: Site): Promise<void> {
    const explanation = await trainer.select()
    committees.set(name, explanation)
    init.onCommittee?.(name, explanation)
  }

  function accuracyAt ({ name }: Site): number {
    const tasks = committees.get(name)?.tasks ?? []
    return tasks.reduce((sum, { accuracy }) => sum + accuracy, 0) / tasks.length
  }

  async function train ({ name, trainer }: Site, until: number): Promise<void> {
    const stretch = localStepsOf(charter.training)
    for (let { step } = trainer.progress(); step < until; step = trainer.progress().step) {
      const losses = await trainer.step(Math.min(stretch - step % stretch, until - step))
      init.onStep?.(name, Math.ceil(trainer.progress().step / stretch), meanByTask(losses))
    }
  }
}

/** The earliest is taken out; of equals the one that was put in first. */
function next (events: Event[]): Event | undefined {
  const [first] = events
  if (first === undefined) return undefined
  const at = events.reduce((best, event, i) => event.time < (events[best] as Event).time ? i : best, 0)
  return events.splice(at, 1)[0]
}

function paces (sites: number, random: Random): number[] {
  const order = random.permutation(sites)
  return order.map(place => place < sites / 2 ? 1 : SLOW[0] + (SLOW[1] - SLOW[0]) * random.next())
}
