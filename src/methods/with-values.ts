import type { Weights } from '../training/unit.ts'

/** Runs `body` while the units have other values, by name; afterwards they have their own again. */
export async function withValues<T> (units: readonly Weights[], values: ReadonlyMap<string, Float32Array>, body: () => Promise<T>): Promise<T> {
  const changed = units.flatMap(unit => values.has(unit.name) ? [{ unit, own: unit.parameters.slice() }] : [])
  for (const { unit } of changed) unit.set(values.get(unit.name) as Float32Array)
  try {
    return await body()
  } finally {
    for (const { unit, own } of changed) unit.set(own)
  }
}
