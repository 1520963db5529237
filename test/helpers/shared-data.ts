/**
 * Real data sets lie beside the repository, not in it. A test that needs one is registered with `withSharedData`; where
 * the folder is absent it is reported as skipped, with the reason in its title.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { ExecutionContext } from 'ava'

const REPOSITORY = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** The folder of a set, or undefined where it is not at hand. `FMTL_SHARED_DATA` comes before ../shared/data. */
export function sharedData (set: string): string | undefined {
  const folder = join(process.env.FMTL_SHARED_DATA ?? join(REPOSITORY, '..', 'shared', 'data'), set)
  return existsSync(folder) ? folder : undefined
}

export function withSharedData (set: string, title: string, run: (t: ExecutionContext, folder: string) => Promise<void>): void {
  const folder = sharedData(set)
  if (folder === undefined) test.skip(`${title} (skipped: no data folder '${set}'; set FMTL_SHARED_DATA)`, (t) => { t.pass() })
  else test(title, async (t) => { await run(t, folder) })
}
