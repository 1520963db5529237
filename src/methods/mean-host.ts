/** The host's half of a method that averages: unit by unit over the sites that sent a change of it, weighted by rows. */
import { statsOf, weightedMean } from '../training/contributions.ts'
import { vector } from '../training/saved-state.ts'
import type { HostInit, HostMethod } from './method.ts'

export function meanHost ({ units }: HostInit): HostMethod {
  return {
    apply: (_step, from) => {
      for (const [name, unit] of units) {
        const having = from.flatMap(({ samples, tensors }) => tensors.has(name) ? [{ samples, change: tensors.get(name) as Float32Array }] : [])
        if (having.length === 0) continue // nobody trained it: not a bit of it changes
        const total = having.reduce((sum, { samples }) => sum + samples, 0)
        const mean = weightedMean(having.map(({ change }) => change), having.map(({ samples }) => samples / total), new Float32Array(unit.parameters.length))
        unit.set(unit.parameters.map((value, i) => value + (mean[i] as number)))
      }
      return sharesStats(from)
    },
    told: () => [...units].map(([name, { parameters }]) => vector(name, parameters))
  }
}

/** Pairs and cosines of what sites sent, over all names at once. */
export function sharesStats (from: Parameters<HostMethod['apply']>[1]): ReturnType<HostMethod['apply']> {
  const samples = from.map(({ samples }) => samples)
  const total = samples.reduce((sum, count) => sum + count, 0)
  const rows = from.map(({ row }) => row)
  const mean = weightedMean(rows, samples.map(count => count / total), new Float32Array(rows[0]?.length ?? 0))
  return statsOf(from.map(({ client }) => client), samples, rows, mean)
}
