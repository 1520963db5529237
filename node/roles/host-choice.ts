/**
 * Which host a client takes, from what hosts announce.
 *
 * spread: the fewest clients for its speed first, for networks whose hosts were set up to share the load.
 * gather: the one that is furthest, then the one with most clients, then the fastest; for a consortium whose members could all
 * host. Its sites have something to learn from each other only where they meet, and everybody ranks the same cards alike.
 */
import type { HostCard } from '../../src/backbone/frames.ts'

export type Gathering = 'spread' | 'gather'
export type HostOffer = Pick<HostCard, 'host' | 'attached' | 'slots' | 'step' | 'samplesPerSecond'>

export function inOrderOf (gathering: Gathering, offers: readonly HostOffer[]): HostOffer[] {
  const key = gathering === 'spread'
    ? ({ attached, samplesPerSecond }: HostOffer) => [(attached + 1) / Math.max(1, samplesPerSecond)] // the lower, the sooner a newcomer is served
    : ({ step, attached, samplesPerSecond }: HostOffer) => [-step, -attached, -samplesPerSecond]
  return [...offers].sort((a, b) => {
    const [x, y] = [key(a), key(b)]
    const at = x.findIndex((value, i) => value !== y[i])
    return at < 0 ? (a.host < b.host ? -1 : 1) : (x[at] as number) - (y[at] as number)
  })
}

/** Where a client that waits at `current` for others should wait instead; undefined: where it is. */
export function betterThan (current: string, offers: readonly HostOffer[]): string | undefined {
  const open = offers.filter(({ host, attached, slots }) => host === current || attached < slots)
  const [best] = inOrderOf('gather', open)
  return best === undefined || best.host === current ? undefined : best.host
}
