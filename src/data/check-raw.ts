/** What the files say before they become rows: empty cells, and samples that cannot be read. */
import { columnOf, missingTest, readSource } from './source.ts'
import type { ColumnSupport } from './check.ts'
import type { Manifest } from './manifest.ts'
import type { Skips } from './readers/skips.ts'

export interface RawReport {
  readonly columns: readonly ColumnSupport[]
  readonly skipped: Skips
}

/**
 * @param ids - clients with files of their own; undefined where all share theirs
 * @throws {DataError}
 */
export async function readRaw (manifest: Manifest, folder: string, ids: readonly string[] | undefined): Promise<RawReport> {
  const rules = manifest.input.columns ?? []
  const missing = rules.map(() => 0)
  const named: string[] = []
  let [rows, skipped] = [0, 0]
  for (const id of ids ?? [undefined]) {
    const source = await readSource(manifest, folder, id)
    rows += source.count
    skipped += source.table?.skips.count ?? 0
    named.push(...source.table?.skips.named ?? [])
    for (const [i, rule] of rules.entries()) {
      const isMissing = missingTest(manifest, rule.missing)
      missing[i] = (missing[i] as number) + columnOf(source, rule.name).reduce((n, cell) => n + (isMissing(cell) ? 1 : 0), 0)
    }
  }
  return {
    columns: rules.map(({ name }, i) => ({ name, missing: (missing[i] as number) / rows })),
    skipped: { count: skipped, named }
  }
}
