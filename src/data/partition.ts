/**
 * Ways to deal rows out to clients: as they come (by site), alike (iid), or with a label skew. Seeded, disjoint and
 * covering: every row number goes to exactly one client.
 *
 * Dirichlet(alpha): every class is dealt out by its own draw of client shares; alpha near 0 gives each class to few
 * clients, a large alpha gives everyone the same mix. Source: Hsu, Qi, Brown (2019).
 */
import { InvalidParametersError } from '../errors.ts'
import type { Random } from '../random.ts'

/** Row numbers of each site, sites in the order of their first row. */
export function bySite (sites: readonly string[]): Map<string, number[]> {
  const parts = new Map<string, number[]>()
  for (const [row, site] of sites.entries()) {
    const part = parts.get(site)
    if (part === undefined) parts.set(site, [row])
    else part.push(row)
  }
  return parts
}

/** `clients` shards of a shuffled 0..count-1, equal to within one row. */
export function iid (count: number, clients: number, random: Random): number[][] {
  checkClients(clients)
  const order = random.permutation(count)
  return Array.from({ length: clients }, (_, k) =>
    order.slice(Math.floor(k * count / clients), Math.floor((k + 1) * count / clients)).sort((a, b) => a - b))
}

/** shares[class][client], each row summing to 1. */
export function dirichletShares (classes: number, clients: number, alpha: number, random: Random): number[][] {
  checkClients(clients)
  if (!(alpha > 0 && Number.isFinite(alpha))) throw new InvalidParametersError(`alpha is a number above 0, not ${alpha}`)
  return Array.from({ length: classes }, () => {
    const logs = Array.from({ length: clients }, () => logGamma(alpha, random))
    const top = Math.max(...logs)
    const weights = logs.map((g) => Math.exp(g - top))
    const sum = weights.reduce((a, b) => a + b, 0)
    return weights.map((w) => w / sum)
  })
}

/**
 * Deals rows out by the shares of their class; -1 (unlabelled) is dealt evenly. A client with fewer than `least`
 * rows is given rows of the largest ones, as long as those keep `least` themselves.
 */
export function dirichlet (labels: readonly number[], shares: ReadonlyArray<readonly number[]>, random: Random, least = 1): number[][] {
  const clients = shares[0]?.length ?? 0
  checkClients(clients)
  const parts: number[][] = Array.from({ length: clients }, () => [])
  const even = Array.from({ length: clients }, () => 1 / clients)
  for (let label = -1; label < shares.length; label++) {
    const rows = labels.flatMap((l, row) => (l === label || (label === -1 && !(l >= 0))) ? [row] : [])
    const order = random.permutation(rows.length)
    let [from, sum] = [0, 0]
    for (const [k, share] of (shares[label] ?? even).entries()) {
      sum += share
      const to = k === clients - 1 ? rows.length : Math.round(sum * rows.length)
      for (; from < to; from++) parts[k]?.push(rows[order[from] as number] as number)
    }
  }
  for (const part of parts) {
    while (part.length < least) {
      const largest = parts.reduce((a, b) => b.length > a.length ? b : a)
      if (largest.length <= least) break
      part.push(...largest.splice(random.int(largest.length), 1))
    }
  }
  return parts.map((part) => part.sort((a, b) => a - b))
}

/** Logarithm of a Gamma(alpha, 1) draw (Marsaglia and Tsang 2000), which for small alpha would be 0 as a double. */
function logGamma (alpha: number, random: Random): number {
  if (alpha < 1) return logGamma(alpha + 1, random) + Math.log(1 - random.next()) / alpha
  const d = alpha - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = random.normal()
    const v = (1 + c * x) ** 3
    if (v > 0 && Math.log(1 - random.next()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return Math.log(d * v)
  }
}

function checkClients (clients: number): void {
  if (!Number.isSafeInteger(clients) || clients < 1) throw new InvalidParametersError(`the number of clients is 1 or more, not ${clients}`)
}
