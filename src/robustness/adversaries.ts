/** Which sites train against attacks, where a share of them does: by rank among all, spread evenly. */
export function isAdversary (share: number, { rank }: { readonly rank: number }): boolean {
  return Math.floor((rank + 1) * share) > Math.floor(rank * share)
}
