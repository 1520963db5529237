/** The host's half of a method that averages: unit by unit over the sites that sent a change of it, weighted by rows. */
import { statsOf, weightedMean } from '../training/contributions.ts'
import { vector } from '../training/saved-state.ts'
import type { HostInit, HostMethod } from './method.ts'
import type { Weights } from '../training/unit.ts'

export function meanHost ({ units }: HostInit): HostMethod {
  return {
    apply: (_step, from) => {
      for (const [name, unit] of units) {
        moveByMean(unit, from.flatMap(({ samples, tensors }) => tensors.has(name) ? [{ weight: samples, change: tensors.get(name) as Float32Array }] : []))
      }
      return sharesStats(from)
    },
    told: () => [...units].map(([name, { parameters }]) => vector(name, parameters))
  }
}

/** Adds the weighted mean of what sites changed in a unit. What nobody trained keeps its bits. */
export function moveByMean (unit: Weights, shares: ReadonlyArray<{ readonly weight: number, readonly change: Float32Array }>): void {
  if (shares.length === 0) return
  const total = shares.reduce((sum, { weight }) => sum + weight, 0)
  unit.move(weightedMean(shares.map(({ change }) => change), shares.map(({ weight }) => weight / total), new Float32Array(unit.parameters.length)))
}

/** Pairs and cosines of what sites sent, over all names at once. */
export function sharesStats (from: Parameters<HostMethod['apply']>[1]): ReturnType<HostMethod['apply']> {
  const samples = from.map(({ samples }) => samples)
  const total = samples.reduce((sum, count) => sum + count, 0)
  const rows = from.map(({ row }) => row)
  const mean = weightedMean(rows, samples.map(count => count / total), new Float32Array(rows[0]?.length ?? 0))
  return statsOf(from.map(({ client }) => client), samples, rows, mean)
}
