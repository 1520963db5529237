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

/** The folder of a set, or of several with commas between, or undefined where one is not at hand. `FMTL_SHARED_DATA` comes before ../shared/data. */
export function sharedData (sets: string): string | undefined {
  const folders = sets.split(',').map(set => join(process.env.FMTL_SHARED_DATA ?? join(REPOSITORY, '..', 'shared', 'data'), set))
  return folders.every(existsSync) ? folders.join() : undefined
}

export function withSharedData (sets: string, title: string, run: (t: ExecutionContext, folders: string) => Promise<void>): void {
  const folders = sharedData(sets)
  if (folders === undefined) test.skip(`${title} (skipped: no data folder '${sets}'; set FMTL_SHARED_DATA)`, (t) => { t.pass() })
  else test(title, async (t) => { await run(t, folders) })
}
