/**
 * Many-to-one matching by deferred acceptance (Gale and Shapley 1962): devices ask servers from their best on; a server holds
 * those of its askers that it values most, up to its quota, and turns the others away for good. The result is stable: no
 * device and server would both rather have each other than what they have. Every device gets the best server that it has in
 * any stable matching, so the order in which devices ask does not matter. Equals go to the lower device.
 */
export interface MatchingInit {
  /** Per device: the servers it would take, best first. */
  readonly preferences: ReadonlyArray<readonly number[]>
  /** Per server: what each device is worth to it. */
  readonly scores: ReadonlyArray<readonly number[]>
  /** Per server: devices it can take. */
  readonly quotas: readonly number[]
}

/** @returns per server its devices, in order; those that nobody took are in none */
export function deferredAcceptance ({ preferences, scores, quotas }: MatchingInit): number[][] {
  const held = quotas.map((): number[] => [])
  const asked = preferences.map(() => 0)
  const free = preferences.map((_, device) => device)
  for (let device = free.pop(); device !== undefined; device = free.pop()) {
    const server = preferences[device]?.[asked[device] as number]
    if (server === undefined) continue // turned away by all that it would take
    asked[device] = (asked[device] as number) + 1
    const group = held[server] as number[]
    const worth = (of: number): number => scores[server]?.[of] as number
    group.push(device)
    group.sort((a, b) => worth(b) - worth(a) || a - b)
    free.push(...group.splice(quotas[server] as number))
  }
  return held.map(group => group.sort((a, b) => a - b))
}
