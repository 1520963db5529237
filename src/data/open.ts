/**
 * Opens a data set: `scenes` (built in), a folder, a manifest file. A folder's own `fmtl.yaml` comes before the
 * manifest that the library has for a folder of its name.
 */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openFiles } from './files.ts'
import { isTable, readManifest } from './manifest.ts'
import { fileError } from './readers/bytes.ts'
import { openScenes } from './scenes.ts'
import { DataError, InvalidParametersError } from '../errors.ts'
import type { Dataset, DatasetOptions } from './dataset.ts'
import type { Manifest, ScenesManifest } from './manifest.ts'

export const MANIFEST_FILE = 'fmtl.yaml'
const BUILT_IN = fileURLToPath(new URL('./manifests/', import.meta.url))

/**
 * @throws {InvalidParametersError} an option that cannot be: an unknown task, a number of clients
 * @throws {DataError} nothing there, no manifest, a mistake in it, a file it names that is missing or broken
 */
export async function openDataset (pathOrName: string, options: DatasetOptions): Promise<Dataset> {
  checkOptions(options)
  const { manifest, folder } = await findManifest(pathOrName)
  return 'scenes' in manifest ? openScenes(manifest, options) : await openFiles(manifest, folder, options)
}

/** @throws {DataError} */
export async function findManifest (pathOrName: string): Promise<{ manifest: Manifest | ScenesManifest, folder: string }> {
  if (pathOrName === 'scenes') return { manifest: { name: 'scenes', scenes: {} }, folder: '.' }
  const { manifestPath, folder } = await locate(pathOrName)
  return { manifest: await readManifest(manifestPath), folder }
}

async function locate (path: string): Promise<{ manifestPath: string, folder: string }> {
  const kind = await kindOf(path)
  if (kind === undefined) {
    throw new DataError(`${path}: there is no such data set`, { next: `give a folder with an ${MANIFEST_FILE}, a manifest file, or the built-in name scenes` })
  }
  if (kind === 'file') {
    if (/\.ya?ml$/i.test(path)) return { manifestPath: path, folder: dirname(path) }
    throw new DataError(`${path}: a file without a manifest`, { next: isTable(path) ? exampleFor(path) : `write an ${MANIFEST_FILE} into its folder and give the folder` })
  }
  const own = join(path, MANIFEST_FILE)
  if (await kindOf(own) === 'file') return { manifestPath: own, folder: path }
  const builtIn = join(BUILT_IN, `${basename(resolve(path))}.yaml`)
  if (await kindOf(builtIn) === 'file') return { manifestPath: builtIn, folder: path }
  let names: string[]
  try {
    names = await readdir(path)
  } catch (err) {
    throw fileError(path, err)
  }
  if (names.length === 0) throw new DataError(`${path}: the folder is empty`, { next: `put the data files and an ${MANIFEST_FILE} there` })
  const table = names.find(isTable)
  throw new DataError(`${path}: no ${MANIFEST_FILE} in the folder`, {
    next: table === undefined ? `write one; the format is described in src/data/README.md, the built-in ones are ${(await builtInNames()).join(', ')}` : exampleFor(table)
  })
}

async function builtInNames (): Promise<string[]> {
  return ['scenes', ...(await readdir(BUILT_IN)).map((name) => name.replace(/\.yaml$/, '')).sort()]
}

async function kindOf (path: string): Promise<'file' | 'folder' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file'
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw fileError(path, err)
  }
}

function exampleFor (path: string): string {
  return `write an ${MANIFEST_FILE} beside it and give the folder, for example:

name: my-hospital
files: { rows: ${basename(path)} }
missing: ['?']
input:
  modality: table
  columns: [{ name: age, mean: 54, deviation: 9 }, { name: sex, oneHot: [f, m] }]
clients: { single: my-hospital }
test: { share: 0.2, stratify: ill }
holdout: { policy: stratified }
tasks: [{ id: ill, kind: classes, column: diagnosis, above: 0, classes: [no, yes] }]`
}

function checkOptions ({ seed, rows, holdout, alpha, partition }: DatasetOptions): void {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new InvalidParametersError(`seed is a whole number of 0 or more, not ${seed}`)
  if (rows !== undefined && !(Number.isSafeInteger(rows) && rows >= 2)) throw new InvalidParametersError(`rows is 2 or more, not ${rows}`)
  if (holdout !== undefined && !(holdout >= 0 && holdout < 1)) throw new InvalidParametersError(`the hold-out is a share of at least 0 and below 1, not ${holdout}`)
  if (alpha !== undefined && !(alpha > 0 && Number.isFinite(alpha))) throw new InvalidParametersError(`alpha is a number above 0, not ${alpha}`)
  if (partition !== undefined && !['by-site', 'iid', 'dirichlet'].includes(partition)) throw new InvalidParametersError(`no partition '${partition}', there are by-site, iid, dirichlet`)
}
