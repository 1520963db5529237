/** `merge` is the hash of the charter that all tasks were trained under together. */
export const affinityTopic = (merge: string): string => `fmtl/affinity/${merge}`
