/**
 * Opens a data set: `scenes` (built in), a folder, a manifest file, or several of these as one (`a,b`). A folder's own
 * `fmtl.yaml` comes before the manifest that the library has for a folder of its name.
 */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openFiles } from './files.ts'
import { isTable, readManifest } from './manifest.ts'
import { fileError } from './readers/bytes.ts'
import { openJoined } from './joined.ts'
import { SCENE_TASKS, openScenes } from './scenes.ts'
import { DataError, InvalidParametersError } from '../errors.ts'
import type { Dataset, DatasetOptions } from './dataset.ts'
import type { AnyManifest, Manifest, ScenesManifest, SetsManifest } from './manifest.ts'
import type { PartInit } from './joined.ts'

export const MANIFEST_FILE = 'fmtl.yaml'
const BUILT_IN = fileURLToPath(new URL('./manifests/', import.meta.url))

/**
 * @throws {InvalidParametersError} an option that cannot be: an unknown task, a number of clients
 * @throws {DataError} nothing there, no manifest, a mistake in it, a file it names that is missing or broken
 */
export async function openDataset (pathOrName: string, options: DatasetOptions): Promise<Dataset> {
  checkOptions(options)
  const { manifest, folder } = await findManifest(pathOrName)
  return 'sets' in manifest
    ? await openJoined(manifest.name, await partsOf(manifest, folder), options, manifest.recipe)
    : await openOne(manifest, folder, options)
}

/** Paths of the sets that a manifest lists. */
export function setPaths ({ sets }: SetsManifest, folder: string): readonly string[] {
  return sets.map((set) => set === 'scenes' ? set : resolve(folder, set))
}

/** The same data set seen from any folder. @throws {DataError} it cannot be looked for */
export async function absolute (pathOrName: string): Promise<string> {
  const one = (path: string): string => path === 'scenes' ? path : resolve(path)
  return await isList(pathOrName) ? pathOrName.split(',').map(one).join() : one(pathOrName)
}

/** Several sets in one word, unless a file or folder is called so. */
async function isList (path: string): Promise<boolean> { return path.includes(',') && await kindOf(path) === undefined }

async function openOne (manifest: Manifest | ScenesManifest, folder: string, options: DatasetOptions): Promise<Dataset> {
  return 'scenes' in manifest ? openScenes(manifest, options) : await openFiles(manifest, folder, options)
}

async function partsOf (of: SetsManifest, folder: string): Promise<readonly PartInit[]> {
  return await Promise.all(setPaths(of, folder).map(async (path): Promise<PartInit> => {
    const { manifest, folder } = await findManifest(path)
    if ('sets' in manifest) throw new DataError(`${path}: a list of sets within a list of sets`, { next: 'name its sets one by one' })
    return {
      name: manifest.name,
      tasks: 'scenes' in manifest ? SCENE_TASKS : manifest.tasks.map(({ id }) => id),
      open: async (options) => await openOne(manifest, folder, options)
    }
  }))
}

/** @throws {DataError} */
export async function findManifest (pathOrName: string): Promise<{ manifest: AnyManifest, folder: string }> {
  if (pathOrName === 'scenes') return { manifest: { name: 'scenes', scenes: {} }, folder: '.' }
  if (await isList(pathOrName)) {
    const sets = pathOrName.split(',')
    return { manifest: { name: sets.map((set) => basename(resolve(set)).replace(/\.ya?ml$/i, '')).join('-'), sets }, folder: '.' }
  }
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
