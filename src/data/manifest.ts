/**
 * The data set manifest, `fmtl.yaml`: what a folder's files hold and how a consortium reads them alike. Format and an
 * example: ./README.md; rules: ./manifest.schema.json. A mistake becomes one line with the place in the file.
 */
import { Ajv } from 'ajv'
import { LineCounter, isMap, isScalar, isSeq, parseDocument } from 'yaml'
import schema from './manifest.schema.json' with { type: 'json' }
import { readBytes } from './readers/bytes.ts'
import { DataError } from '../errors.ts'
import type { Modality, Recipe } from './dataset.ts'
import type { TaskKind } from '../tasks/task.ts'
import type { ErrorObject } from 'ajv'
import type { Document } from 'yaml'

export type Value = string | number

/** Which rows: exactly one way of saying it. */
export interface RowRule {
  readonly file?: string
  readonly column?: string
  readonly equals?: Value | readonly Value[]
  readonly modulo?: number
  readonly block?: number
  readonly last?: number
  readonly by?: string
  readonly share?: number
  readonly stratify?: string
}

export interface ColumnRule {
  readonly name: string
  readonly oneHot?: readonly Value[]
  readonly log?: boolean
  readonly mean?: number
  readonly deviation?: number
  readonly missing?: readonly Value[]
  readonly flag?: boolean
}

export interface PrepareStep {
  readonly average?: number
  readonly pad?: readonly [number, number]
  readonly subtract?: number | readonly number[]
  readonly divide?: number | readonly number[]
  readonly removeMean?: true
}

export interface InputRule {
  readonly modality: Modality
  readonly file?: string
  readonly prepare?: readonly PrepareStep[]
  readonly columns?: readonly ColumnRule[]
  readonly window?: number
  readonly column?: string
  readonly split?: 'words' | 'spaces'
  readonly lowercase?: boolean
  readonly length?: number
  readonly buckets?: number
  readonly prefix?: number
  readonly suffix?: number
  readonly ngram?: number
  readonly slots?: number
  readonly tokenizer?: string
}

export interface ClientsRule {
  readonly single?: string
  readonly files?: readonly string[]
  readonly column?: string
  readonly values?: readonly Value[]
  readonly offset?: number
  readonly modulo?: number
  readonly names?: readonly string[]
  readonly prefix?: string
  readonly ring?: { readonly column: string, readonly own: number, readonly next: number, readonly test?: 'all' | 'own' }
}

export interface TaskRule {
  readonly id: string
  readonly kind: TaskKind
  readonly column?: string
  readonly columns?: readonly string[]
  readonly file?: string
  readonly classes?: number | readonly string[]
  readonly values?: readonly Value[]
  readonly above?: number
  readonly atLeast?: number
  readonly below?: number
  readonly equals?: Value
  readonly modulo?: number
  readonly boundary?: true
  readonly distance?: true
  readonly share?: number
  readonly ahead?: number
  readonly missing?: readonly Value[]
  readonly mean?: number | readonly number[]
  readonly deviation?: number | readonly number[]
  readonly clients?: readonly string[]
  readonly weight?: number
  readonly positiveWeight?: number
  readonly smoothing?: number
  readonly metric?: string
}

export interface ScenesRule {
  readonly seed?: number
  readonly shift?: number
  readonly size?: number
  readonly clients?: number
}

/** A manifest of files, after all checks. */
export interface Manifest {
  readonly name: string
  readonly files: Readonly<Record<string, string>>
  readonly delimiter?: string
  readonly missing?: readonly Value[]
  readonly index?: string
  readonly group?: string
  readonly input: InputRule
  readonly clients: ClientsRule
  readonly train?: RowRule
  readonly test: RowRule
  readonly draw?: { readonly balance?: string }
  readonly holdout?: { readonly policy: 'random' | 'stratified' | 'last', readonly by?: string, readonly block?: number }
  readonly tasks: readonly TaskRule[]
  readonly recipe?: Recipe
}

/** A manifest of the procedural set. */
export interface ScenesManifest {
  readonly name: string
  readonly scenes: ScenesRule
  readonly recipe?: Recipe
}

/** A manifest of several sets that train as one. */
export interface SetsManifest {
  readonly name: string
  /** Folders or manifests, seen from this file; or built-in names. */
  readonly sets: readonly string[]
  readonly recipe?: Recipe
}

export type AnyManifest = Manifest | ScenesManifest | SetsManifest

/** The largest built-in manifest has 5 KB; 4096 names of classes and columns fit in 256. */
const MAX_MANIFEST_BYTES = 256 * 1024

const validate = new Ajv({ allErrors: true, allowUnionTypes: true, strictTypes: false, strictRequired: false, verbose: true }).compile(schema)

/** @throws {DataError} */
export async function readManifest (path: string): Promise<AnyManifest> {
  return parseManifest((await readBytes(path, { maxBytes: MAX_MANIFEST_BYTES })).toString('utf8'), path)
}

/**
 * @param path - only for messages
 * @throws {DataError} the text is no YAML, or no manifest
 */
export function parseManifest (text: string, path: string): AnyManifest {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const broken = document.errors[0]
  if (broken !== undefined) {
    throw new DataError(`${path} line ${lines.linePos(broken.pos[0]).line}: ${broken.message}`, { cause: broken, next: 'correct the YAML there' })
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new DataError(`${path}: ${(cause as Error).message}`, { cause, next: 'write the repeated parts out' })
  }
  const fail = (at: ReadonlyArray<string | number>, message: string, next = NEXT): never => {
    throw new DataError(`${path}${lineOf(document, lines, at)}: ${at.length === 0 ? '' : `${at.join('.')}: `}${message}`, { next })
  }
  if (!validate(value)) {
    const error = mostTelling(validate.errors ?? [])
    const at = error.instancePath.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    fail(error.keyword === 'additionalProperties' ? [...at, String(error.params.additionalProperty)] : at, describe(error))
  }
  const manifest = value as AnyManifest
  if ('files' in manifest) checkReferences(manifest, fail)
  return manifest
}

const NEXT = 'the format is described in src/data/README.md'

type Fail = (at: ReadonlyArray<string | number>, message: string, next?: string) => never

/** What a schema cannot say: names that must refer to each other, and keys that exclude each other. */
function checkReferences (manifest: Manifest, fail: Fail): void {
  const { files, input, clients, tasks, recipe } = manifest
  const roles = Object.keys(files)
  const role = (at: ReadonlyArray<string | number>, name: string | undefined): void => {
    if (name !== undefined && !roles.includes(name)) fail(at, `no file has the role '${name}', there are ${roles.join(', ')}`)
  }
  const below = (at: readonly string[], path: string): void => {
    if (path.startsWith('/') || path.includes('\\') || /^[A-Za-z]:/.test(path) || path.split('/').includes('..')) {
      fail(at, `'${path}' is not below the data folder`, 'give the file\'s path relative to the data folder')
    }
  }
  for (const [name, path] of Object.entries(files)) below(['files', name], path)
  if (input.tokenizer !== undefined) {
    below(['input', 'tokenizer'], input.tokenizer)
    const other = (['split', 'lowercase', 'buckets', 'prefix', 'suffix', 'ngram', 'slots'] as const).find((key) => input[key] !== undefined)
    if (other !== undefined) fail(['input', other], 'has no meaning beside tokenizer, which makes the tokens itself')
    const tagged = tasks.findIndex(({ kind }) => kind === 'token-classes')
    if (tagged >= 0) fail(['tasks', tagged], `task '${tasks[tagged]?.id}' labels the file's own tokens, a tokenizer makes others`)
  } else if (input.modality === 'tokens' && input.buckets === undefined) fail(['input'], "the key 'buckets' is missing")
  const tables = roles.filter((name) => isTable(files[name] as string))
  if (tables.length > 1) fail(['files', tables[1] as string], `a second table beside '${tables[0]}'; a set has at most one`, 'join the tables into one file')
  const folders = roles.filter((name) => isPictures(files[name] as string))
  if (folders.length > 0) {
    const other = roles.find((name) => name !== folders[0] && !tables.includes(name))
    if (other !== undefined) fail(['files', other], `beside the pictures of '${folders[0]}' only a table can stand`, 'give masks and labels in IDX files, pictures too')
    if (tables.length > 0 && manifest.index === undefined) fail(['files', tables[0] as string], 'index is missing: the column of the table with the file names below the picture folder', 'add index: file')
  }
  const needsTable = (at: ReadonlyArray<string | number>, name: string | undefined): void => {
    if (name !== undefined && tables.length + folders.length === 0) fail(at, `a column is named but no file is a table (${roles.join(', ')})`, 'add a .csv or .tsv to files')
  }
  const isArray = (at: ReadonlyArray<string | number>, name: string | undefined): void => {
    role(at, name)
    if (name !== undefined && tables.includes(name)) fail(at, `'${name}' is a table, not an IDX file`, 'name a column with `column:` instead')
  }

  isArray(['input', 'file'], input.file)
  if (input.modality !== 'image') needsTable(['input'], 'columns')

  const ways = (['single', 'files', 'column', 'ring'] as const).filter((key) => clients[key] !== undefined)
  if (ways.length !== 1) fail(['clients'], `exactly one of single, files, column and ring is needed, not ${ways.length === 0 ? 'none' : ways.join(' and ')}`)
  const perClient = Object.values(files).some((path) => path.includes('{client}'))
  if (clients.files !== undefined && !perClient) fail(['clients', 'files'], 'no file name holds {client}')
  if (clients.files === undefined && perClient) fail(['files'], '{client} in a file name needs clients: { files: [...] }')
  needsTable(['clients', 'column'], clients.column)
  needsTable(['clients', 'ring'], clients.ring?.column)
  for (const key of ['values', 'modulo'] as const) if (clients[key] !== undefined && clients.column === undefined) fail(['clients', key], 'needs column')
  for (const key of ['offset', 'names'] as const) if (clients[key] !== undefined && clients.modulo === undefined) fail(['clients', key], 'needs modulo')
  if (clients.names !== undefined && clients.names.length !== clients.modulo) fail(['clients', 'names'], `${clients.names.length} names for ${clients.modulo} remainders`)

  for (const part of ['train', 'test'] as const) {
    const rule = manifest[part]
    if (rule === undefined) continue
    isArray([part, 'file'], rule.file)
    needsTable([part, 'column'], rule.column)
    const kinds = [rule.file !== undefined, rule.modulo !== undefined, rule.column !== undefined && rule.modulo === undefined, rule.last !== undefined, rule.share !== undefined]
    if (kinds.filter(Boolean).length !== 1) fail([part], 'say it in one way: file; column + equals; modulo + equals; last + by; share')
    if ((rule.column !== undefined || rule.modulo !== undefined) !== (rule.equals !== undefined)) fail([part], 'column and modulo need equals, and the other ways have none')
    if ((rule.last !== undefined) !== (rule.by !== undefined)) fail([part], 'last and by go together')
    if (rule.block !== undefined && rule.modulo === undefined) fail([part, 'block'], 'needs modulo')
    if (rule.stratify !== undefined) {
      if (rule.share === undefined) fail([part, 'stratify'], 'needs share')
      classTask([part, 'stratify'], rule.stratify)
    }
    if (part === 'train' && (rule.share !== undefined || rule.last !== undefined)) fail([part], 'a share belongs in test; training takes the rest')
  }

  const { holdout } = manifest
  if (holdout?.policy === 'last' && holdout.by === undefined) fail(['holdout'], 'policy last needs by, the column of time')
  if (holdout?.policy === 'stratified' && holdout.by !== undefined) classTask(['holdout', 'by'], holdout.by)
  if (holdout?.policy === 'random' && holdout.by !== undefined) fail(['holdout', 'by'], 'policy random has no by')
  if (holdout?.block !== undefined && holdout.policy !== 'random') fail(['holdout', 'block'], 'needs policy random')
  if (holdout?.block !== undefined && manifest.group !== undefined) fail(['holdout', 'block'], 'rows stay together by block or by group, not both')

  const ids = tasks.map(({ id }) => id)
  for (const [i, task] of tasks.entries()) {
    const at = ['tasks', i]
    if (ids.indexOf(task.id) !== i) fail([...at, 'id'], `a second task '${task.id}'`)
    const sources = (['column', 'columns', 'file'] as const).filter((key) => task[key] !== undefined)
    if (sources.length !== 1) fail(at, `task '${task.id}' needs exactly one of column, columns and file`)
    isArray([...at, 'file'], task.file)
    needsTable([...at, 'column'], task.column ?? task.columns?.[0])
    const derived = (['above', 'atLeast', 'below', 'equals', 'modulo', 'boundary', 'distance', 'share'] as const).filter((key) => task[key] !== undefined)
    if (derived.length > 1) fail(at, `task '${task.id}' derives its label in two ways: ${derived.join(' and ')}`)
    const [way] = derived
    const kindOf = { boundary: 'dense-binary', distance: 'dense-regression', share: 'regression' } as const
    if (way !== undefined && task.kind !== (way in kindOf ? kindOf[way as keyof typeof kindOf] : 'classes')) fail([...at, way], `does not go with kind ${task.kind}`)
    if ((way === 'boundary' || way === 'distance' || way === 'share') && task.file === undefined) fail([...at, way], 'needs file')
    const named = task.kind === 'classes' || task.kind === 'token-classes' || task.kind === 'dense-classes'
    if (named && task.classes === undefined && way === undefined) fail(at, `task '${task.id}' needs classes`)
    if (!named && task.classes !== undefined) fail([...at, 'classes'], `does not go with kind ${task.kind}`)
    if (task.values !== undefined && (way !== undefined || !Array.isArray(task.classes) || task.classes.length !== task.values.length)) fail([...at, 'values'], 'needs classes, one name per value')
    const count = way === 'modulo' ? task.modulo : 2
    if (way !== undefined && task.classes !== undefined && (Array.isArray(task.classes) ? task.classes.length : task.classes) !== count) fail([...at, 'classes'], `${way} makes ${count} classes`)
    if (task.columns !== undefined && task.kind !== 'regression' && task.kind !== 'direction') fail([...at, 'columns'], `does not go with kind ${task.kind}`)
    if (task.kind.startsWith('dense-') && task.file === undefined) fail(at, `task '${task.id}' of kind ${task.kind} needs file`)
    if (task.kind === 'dense-direction') fail([...at, 'kind'], 'bytes hold no directions; dense-direction is for the procedural set')
    if (task.kind === 'token-classes' && (task.column === undefined || input.modality !== 'tokens')) fail(at, `task '${task.id}' needs column and an input of tokens`)
    if (task.kind === 'token-classes' && input.split !== 'spaces') fail(['input'], `task '${task.id}' labels the file's own tokens, which needs split: spaces`)
    if (task.kind === 'direction' && task.columns?.length !== 2) fail(at, `task '${task.id}' needs columns: [cos, sin]`)
    if (task.ahead !== undefined && (task.column === undefined || task.kind === 'token-classes')) fail([...at, 'ahead'], 'needs a column of numbers or labels')
    for (const [j, client] of (task.clients ?? []).entries()) {
      if (clients.files !== undefined && !clients.files.includes(client)) fail([...at, 'clients', j], `no client '${client}', there are ${clients.files.join(', ')}`)
    }
  }
  for (const [i, id] of (recipe?.tasks ?? []).entries()) known(['recipe', 'tasks', i], id)
  headsOf(['recipe'], recipe)
  for (const [id, own] of Object.entries(recipe?.alone ?? {})) {
    known(['recipe', 'alone'], id)
    headsOf(['recipe', 'alone', id], own)
  }

  function headsOf (at: readonly string[], { model }: Pick<Recipe, 'model'> = {}): void {
    for (const key of ['sharedHeads', 'correctedHeads']) {
      for (const [i, id] of ((model?.[key] ?? []) as readonly string[]).entries()) known([...at, 'model', key, i], id)
    }
  }

  function known (at: ReadonlyArray<string | number>, id: string): void {
    if (!ids.includes(id)) fail(at, `no task '${id}', there are ${ids.join(', ')}`)
  }

  function classTask (at: readonly string[], id: string): void {
    if (!tasks.some((task) => task.id === id && task.kind === 'classes')) fail(at, `no task '${id}' of kind classes`)
  }
}

/** By the end of its name: a table, or else an array in IDX. */
export function isTable (path: string): boolean { return /\.(csv|tsv|tab)(\.gz)?$/i.test(path) }

/** A folder of PNG pictures. */
export function isPictures (path: string): boolean { return path.endsWith('/') }

/** Ajv reports the branches of an `if` too; the deepest place is where the mistake is. */
function mostTelling (errors: readonly ErrorObject[]): ErrorObject {
  const rank = (error: ErrorObject): number =>
    (error.keyword === 'if' ? -1000 : 0) + 10 * error.instancePath.split('/').length + (error.keyword === 'additionalProperties' ? 1 : 0)
  return errors.reduce((best, error) => rank(error) > rank(best) ? error : best)
}

function describe (error: ErrorObject): string {
  const { keyword, params, parentSchema } = error
  switch (keyword) {
    case 'additionalProperties':
      return `unknown key; allowed here: ${Object.keys((parentSchema as { properties?: object } | undefined)?.properties ?? {}).join(', ')}`
    case 'required':
      return `the key '${params.missingProperty as string}' is missing`
    case 'enum':
      return `${show(error.data)} is none of ${(params.allowedValues as unknown[]).join(', ')}`
    case 'const':
      return `must be ${String(params.allowedValue)}`
    case 'type':
      return `${show(error.data)} is not ${([params.type].flat() as string[]).map((type) => type === 'integer' ? 'a whole number' : `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`).join(' or ')}`
    case 'pattern':
      return `${show(error.data)} does not match ${params.pattern as string}`
    case 'not':
      return 'a manifest of scenes or of sets has no files, input, clients, test or tasks'
    case 'propertyNames':
      return `'${params.propertyName as string}' is no role; roles are letters, digits, - and _`
    default:
      return error.message ?? 'is not valid'
  }
}

function show (value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 40 ? `${text.slice(0, 37)}...` : text
}

/** ' line 12' of the deepest key or list item of the path that the file has. */
function lineOf (document: Document.Parsed, lines: LineCounter, at: ReadonlyArray<string | number>): string {
  let node: unknown = document.contents
  let offset: number | undefined
  for (const key of at) {
    if (isMap(node)) {
      const pair = node.items.find(({ key: name }) => isScalar(name) && String(name.value) === String(key))
      if (pair === undefined) break
      offset = (pair.key as { range?: [number, number, number] | null }).range?.[0] ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(key)]
      offset = (node as { range?: [number, number, number] | null } | undefined)?.range?.[0] ?? offset
    } else break
  }
  return offset === undefined ? '' : ` line ${lines.linePos(offset).line}`
}
