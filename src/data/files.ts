/**
 * A data set in files, as its manifest describes it. Rows take these steps, each by its own draw of the run's seed:
 *
 *     files -> natural client -> train / test -> (iid or Dirichlet clients, or shards) -> `rows` drawn -> hold-out
 *
 * `client` reads only the files that client needs; where clients share a file, the others' rows are let go.
 */
import { join } from 'node:path'
import { filePath, readSource, readShape, cell, canonical, columnOf, arrayOf, place } from './source.ts'
import { inputReader, emptyInput } from './inputs.ts'
import { readTokenizer } from './tokenizer.ts'
import { targetReader } from './targets.ts'
import { dirichlet, dirichletShares, iid } from './partition.ts'
import { drawRows, takeLast, takeShare } from './split.ts'
import { DataError, InvalidParametersError } from '../errors.ts'
import { Random, deriveSeed } from '../random.ts'
import { elements } from '../tensor/tensor.ts'
import { recipeFor } from './dataset.ts'
import type { ClientData, Dataset, DatasetOptions, InputSpec, Recipe, Rows } from './dataset.ts'
import type { InputReader } from './inputs.ts'
import type { Manifest, RowRule } from './manifest.ts'
import type { Row, Source } from './source.ts'
import type { TargetReader } from './targets.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** Share of the training rows kept back where neither the options nor the recipe say. */
export const DEFAULT_HOLDOUT = 0.2

interface Parts {
  readonly train: readonly Row[]
  readonly test: readonly Row[]
  /** Every row of the sites these come from, in the files' order: windows and targets ahead look around in them. */
  readonly context: readonly Row[]
}

/** @throws {DataError | InvalidParametersError} */
export async function openFiles (manifest: Manifest, folder: string, options: DatasetOptions): Promise<Dataset> {
  const naturalIds = manifest.clients.files ?? await idsInFiles(manifest, folder)
  const bad = naturalIds.find((id) => !CLIENT_ID.test(id))
  if (bad !== undefined) throw new DataError(`${manifest.name}: '${bad.slice(0, 70)}' cannot name a client`, { next: 'client names are 1 to 64 letters, digits, ., - or _, and do not start with . or -' })
  const shape = await firstShape(manifest, folder, naturalIds, manifest.input.file)
  const { tokenizer } = manifest.input
  const input = inputReader(manifest, shape, tokenizer === undefined ? undefined : await readTokenizer(join(folder, tokenizer)))
  const wanted = chosenTasks(manifest.tasks.map(({ id }) => id), options, manifest.recipe)
  const targets: TargetReader[] = []
  for (const rule of manifest.tasks) {
    if (!wanted.includes(rule.id)) continue
    const pixels = rule.kind.startsWith('dense-') ? await firstShape(manifest, folder, naturalIds, rule.file) : undefined
    targets.push(targetReader(manifest, rule, input.spec, pixels?.slice(1)))
  }
  return new FileDataset(manifest, folder, options, naturalIds, input, targets)
}

/** @throws {InvalidParametersError} an unknown task; lists the ones there are */
export function chosenTasks (all: readonly string[], options: DatasetOptions, recipe: Recipe | undefined): readonly string[] {
  const asked = options.tasks ?? recipe?.tasks ?? all
  const wanted = options.someTasks === true ? asked.filter((id) => all.includes(id)) : asked
  const unknown = wanted.find((id) => !all.includes(id))
  if (unknown !== undefined) throw new InvalidParametersError(`no task '${unknown}', there are ${all.join(', ')}`, { next: 'name one of these' })
  if (wanted.length === 0) throw new InvalidParametersError(`no task ${asked.length === 0 ? 'is asked for' : `of ${asked.join(', ')} is here`}, there are ${all.join(', ')}`, { next: 'name at least one' })
  return wanted
}

class FileDataset implements Dataset {
  readonly name: string
  readonly input: InputSpec
  readonly tasks: readonly TaskSpec[]
  readonly clientIds: readonly string[]
  readonly recipe: Recipe
  readonly #manifest: Manifest
  readonly #folder: string
  readonly #options: DatasetOptions
  readonly #naturalIds: readonly string[]
  readonly #reader: InputReader
  readonly #targets: readonly TargetReader[]
  /** The last shared file that was read; dropped when memory is wanted, so it spares only the reading again. */
  #shared: WeakRef<Source> | undefined

  constructor (manifest: Manifest, folder: string, options: DatasetOptions, naturalIds: readonly string[], reader: InputReader, targets: readonly TargetReader[]) {
    this.name = manifest.name
    this.input = reader.spec
    this.tasks = targets.map(({ spec }) => spec)
    this.recipe = recipeFor(manifest.recipe ?? {}, this.tasks.map(({ id }) => id))
    this.#manifest = manifest
    this.#folder = folder
    this.#options = options
    this.#naturalIds = naturalIds
    this.#reader = reader
    this.#targets = targets
    this.clientIds = this.#ids()
  }

  async client (id: string): Promise<ClientData> {
    const at = this.clientIds.indexOf(id)
    if (at < 0) throw new InvalidParametersError(`no client '${id}' in ${this.name}, there are ${this.clientIds.join(', ')}`, { next: 'name one of these' })
    const { train, test, context } = await this.#rowsOf(at)
    const { seed } = this.#options
    const wanted = this.#options.rows ?? this.recipe.rows
    const balance = this.#manifest.draw?.balance
    const drawn = wanted === undefined
      ? train
      : drawRows(train.length, wanted, new Random(deriveSeed(seed, this.name, id, 'rows')),
        balance === undefined ? undefined : (i) => cell(train[i] as Row, balance)).map((i) => train[i] as Row)
    const { rest, taken } = this.#holdout(drawn, id)
    // a column client's files are the whole set's: that it has the task is asked of its natural id
    const natural = this.#naturalOf(at)
    const targets = this.#targets.filter(({ clients }) => clients === undefined || natural === undefined || clients.includes(natural))
    if (targets.length === 0) throw new DataError(`client '${id}' of ${this.name} has none of the tasks ${this.tasks.map((task) => task.id).join(', ')}`, { next: 'ask for another task or client' })
    const encode = this.#encoder(context, targets)
    return {
      id,
      input: this.input,
      tasks: targets.map(({ spec }) => spec),
      train: encode(rest.map((i) => drawn[i] as Row)),
      holdout: encode(taken.map((i) => drawn[i] as Row)),
      test: encode(test)
    }
  }

  #ids (): readonly string[] {
    const { partition = 'by-site', clients } = this.#options
    const natural = this.#naturalIds
    if (clients !== undefined && (!Number.isSafeInteger(clients) || clients < 1)) throw new InvalidParametersError(`the number of clients is 1 or more, not ${clients}`)
    if (partition !== 'by-site') return Array.from({ length: clients ?? natural.length }, (_, k) => `shard-${k + 1}`)
    const shards = this.#shards()
    return shards === 1
      ? natural.slice(0, clients)
      : natural.flatMap((id) => Array.from({ length: shards }, (_, k) => `${id}-${k + 1}`))
  }

  /** How many clients each natural one is divided into. */
  #shards (): number {
    const { partition = 'by-site', clients } = this.#options
    const n = this.#naturalIds.length
    if (partition !== 'by-site' || clients === undefined || clients <= n) return 1
    if (clients % n !== 0) {
      throw new InvalidParametersError(`${this.name} has ${n} natural clients: ${clients} is no multiple of it`, { next: `ask for ${n * Math.floor(clients / n)} or ${n * Math.ceil(clients / n)} clients, or for partition iid or dirichlet` })
    }
    return clients / n
  }

  #naturalOf (at: number): string | undefined {
    return (this.#options.partition ?? 'by-site') === 'by-site' ? this.#naturalIds[Math.floor(at / this.#shards())] : undefined
  }

  async #rowsOf (at: number): Promise<Parts> {
    const { partition = 'by-site', seed, alpha = 0.5 } = this.#options
    if (partition === 'by-site') {
      const natural = this.#naturalOf(at) as string
      const shards = this.#shards()
      const parts = this.#natural(await this.#source(natural), natural, 0)
      if (shards === 1) return parts
      const shard = (rows: readonly Row[], part: string): Row[] =>
        (iid(rows.length, shards, new Random(deriveSeed(seed, this.name, natural, part, 'shards')))[at % shards] ?? []).map((i) => rows[i] as Row)
      return { train: shard(parts.train, 'train'), test: shard(parts.test, 'test'), context: parts.context }
    }
    const all: { train: Row[], test: Row[], context: Row[] } = { train: [], test: [], context: [] }
    let first = 0
    for (const natural of this.#naturalIds) {
      const source = await this.#source(natural)
      const { train, test, context } = this.#natural(source, natural, first)
      if (this.#manifest.clients.files !== undefined) first += source.count
      all.train.push(...train)
      all.test.push(...test)
      all.context.push(...context)
    }
    // ring clients share their test rows: each row is dealt out once
    const pool: Parts = { train: unique(all.train), test: unique(all.test), context: unique(all.context) }
    const clients = this.clientIds.length
    const random = (part: string): Random => new Random(deriveSeed(seed, this.name, part, partition))
    if (partition === 'iid') {
      return {
        train: (iid(pool.train.length, clients, random('train'))[at] ?? []).map((i) => pool.train[i] as Row),
        test: (iid(pool.test.length, clients, random('test'))[at] ?? []).map((i) => pool.test[i] as Row),
        context: pool.context
      }
    }
    const target = this.#targets.find(({ spec }) => spec.kind === 'classes')
    if (target === undefined) throw new InvalidParametersError(`partition dirichlet needs a task of kind classes, ${this.name} is opened with ${this.tasks.map(({ id }) => id).join(', ')}`, { next: 'add a class task, or use partition iid' })
    const shares = dirichletShares(target.spec.channels, clients, alpha, random('shares'))
    const deal = (rows: readonly Row[], part: string): Row[] =>
      (dirichlet(this.#labels(rows, target), shares, random(part), LEAST_ROWS)[at] ?? []).map((i) => rows[i] as Row)
    return { train: deal(pool.train, 'train'), test: deal(pool.test, 'test'), context: pool.context }
  }

  async #source (natural: string): Promise<Source> {
    if (this.#manifest.clients.files !== undefined) return await readSource(this.#manifest, this.#folder, natural)
    const kept = this.#shared?.deref()
    if (kept !== undefined) return kept
    const source = await readSource(this.#manifest, this.#folder)
    this.#shared = new WeakRef(source)
    return source
  }

  /** A natural client's rows. `first` numbers the source's rows over all sites. */
  #natural (source: Source, id: string, first: number): Parts {
    const { clients, group, test: rule, train: trainRule } = this.#manifest
    const all = Array.from({ length: source.count }, (_, row) => ({ source, site: id, row, id: first + row }))
    const { seed } = this.#options
    const ring = clients.ring
    const idOf = clients.column === undefined ? undefined : clientOfRow(this.#manifest, source)
    const own = idOf === undefined ? all : all.filter(({ row }) => idOf(row) === id)
    const random = new Random(deriveSeed(seed, this.name, ring === undefined ? id : '', 'test'))
    const isTest = this.#matches(rule, own, random, group)
    const isTrain = trainRule === undefined ? undefined : this.#matches(trainRule, own, random, group)
    const parts: Parts = {
      train: own.filter((_, i) => isTest[i] !== true && (isTrain === undefined || isTrain[i] === true)),
      test: own.filter((_, i) => isTest[i] === true),
      context: own
    }
    return ring === undefined ? parts : this.#ringPart(parts, id, ring)
  }

  #ringPart ({ train, test, context }: Parts, id: string, ring: NonNullable<Manifest['clients']['ring']>): Parts {
    const at = this.#naturalIds.indexOf(id)
    const values = ringValues(train.length > 0 ? columnOf((train[0] as Row).source, ring.column) : [])
    const mine = values[at] as string
    const next = values[(at + 1) % values.length] as string
    const draw = (value: string, from: number, count: number): Row[] => {
      const rows = train.filter((row) => cell(row, ring.column) === value)
      const order = new Random(deriveSeed(this.#options.seed, this.name, value, 'ring')).permutation(rows.length)
      if (rows.length < from + count) throw new DataError(`${this.name}: '${value}' has ${rows.length} training rows, the ring needs ${from + count}`, { next: 'lower own and next in the manifest' })
      return order.slice(from, from + count).map((i) => rows[i] as Row)
    }
    // the first `own` rows of a value are its client's, the following `next` rows the client's before it
    return {
      train: [...draw(mine, 0, ring.own), ...draw(next, ring.own, ring.next)].sort((a, b) => a.id - b.id),
      test: ring.test === 'own' ? test.filter((row) => [mine, next].includes(cell(row, ring.column))) : test,
      context
    }
  }

  #matches (rule: RowRule, rows: readonly Row[], random: Random, group: string | undefined): boolean[] {
    if (rule.file !== undefined) {
      const role = rule.file
      return rows.map(({ source, row }) => arrayOf(source, role).data[source.arrayRow(row)] !== 0)
    }
    if (rule.last !== undefined) {
      const by = rule.by as string
      const { taken } = takeLast(rows.length, rule.last, (i) => cell(rows[i] as Row, by))
      return flags(rows.length, taken)
    }
    if (rule.share !== undefined) {
      const target = rule.stratify === undefined ? undefined : this.#classTarget(rule.stratify)
      const labels = target === undefined ? undefined : this.#labels(rows, target)
      const { taken } = takeShare(rows.length, rule.share, {
        random,
        stratum: labels === undefined ? undefined : (i) => String(labels[i]),
        unit: group === undefined ? undefined : (i) => cell(rows[i] as Row, group)
      })
      return flags(rows.length, taken)
    }
    const wanted = new Set([rule.equals ?? []].flat().map(canonical))
    const { modulo, block = 1, column } = rule
    if (modulo === undefined) return rows.map((row) => wanted.has(canonical(cell(row, column as string))))
    return rows.map((row) => {
      const n = column === undefined ? row.row : trailingNumber(row.source, column, row.row)
      return wanted.has(String(((Math.floor(n / block) % modulo) + modulo) % modulo))
    })
  }

  #holdout (rows: readonly Row[], id: string): { rest: number[], taken: number[] } {
    const share = this.#options.holdout ?? this.recipe.holdout ?? DEFAULT_HOLDOUT
    if (!(share >= 0 && share < 1)) throw new InvalidParametersError(`the hold-out is a share of at least 0 and below 1, not ${share}`)
    const { policy = 'random', by, block } = this.#manifest.holdout ?? {}
    if (policy === 'last') return takeLast(rows.length, share, (i) => cell(rows[i] as Row, by as string))
    const target = policy === 'stratified'
      ? (by === undefined ? this.#targets.find(({ spec }) => spec.kind === 'classes') : this.#classTarget(by))
      : undefined
    const labels = target === undefined ? undefined : this.#labels(rows, target)
    const { group } = this.#manifest
    return takeShare(rows.length, share, {
      random: new Random(deriveSeed(this.#options.seed, this.name, id, 'holdout')),
      stratum: labels === undefined ? undefined : (i) => String(labels[i]),
      unit: group !== undefined
        ? (i) => cell(rows[i] as Row, group)
        : block !== undefined ? (i) => String(Math.floor((rows[i] as Row).row / block)) : undefined
    })
  }

  /** A class task of the manifest, whether it is loaded or not. */
  #classTarget (id: string): TargetReader {
    return this.#targets.find(({ spec }) => spec.id === id) ??
      targetReader(this.#manifest, this.#manifest.tasks.find((task) => task.id === id) as Manifest['tasks'][number], this.input, undefined)
  }

  #labels (rows: readonly Row[], target: TargetReader): number[] {
    return [...fillTarget(target, rows, rows)]
  }

  #encoder (context: readonly Row[], targets: readonly TargetReader[]): (rows: readonly Row[]) => Rows {
    const chain = this.#reader.spec.modality === 'series' ? chains(context) : undefined
    const inputs = perSite((source, site) => this.#reader.writer(source, chain?.(site).before))
    const width = elements(this.input.shape)
    return (rows) => {
      const x = emptyInput(this.input, rows.length)
      for (const [i, row] of rows.entries()) inputs(row)(row.row, x, i * width)
      return {
        count: rows.length,
        x,
        y: Object.fromEntries(targets.map((target) => [target.spec.id, fillTarget(target, rows, context)])),
        source: Int32Array.from(rows, ({ id }) => id)
      }
    }
  }
}

/** The targets of `rows`; rows of a site without the task are unlabelled. */
function fillTarget (target: TargetReader, rows: readonly Row[], context: readonly Row[]): Float32Array {
  const { spec, clients } = target
  const size = elements(spec.positions) * spec.targets
  const y = new Float32Array(rows.length * size)
  const chain = target.looksAhead ? chains(context) : undefined
  const writers = perSite((source, site) => target.writer(source, (row, k) => {
    const around = chain?.(site)
    return around?.rows[(around.place.get(row) ?? NaN) + k]
  }))
  for (const [i, row] of rows.entries()) {
    if (clients === undefined || clients.includes(row.site)) writers(row)(row.row, y, i * size)
    else y.fill(NaN, i * size, (i + 1) * size)
  }
  return y
}

interface Chain {
  readonly rows: readonly number[]
  readonly place: ReadonlyMap<number, number>
  /** The row before; the first one is before itself. */
  readonly before: ReadonlyMap<number, number>
}

/** Each site's rows in the files' order. */
function chains (context: readonly Row[]): (site: string) => Chain {
  const bySite = new Map<string, number[]>()
  for (const { site, row } of context) {
    const rows = bySite.get(site)
    if (rows === undefined) bySite.set(site, [row])
    else rows.push(row)
  }
  const made = new Map([...bySite].map(([site, rows]) => {
    rows.sort((a, b) => a - b)
    return [site, {
      rows,
      place: new Map(rows.map((row, i) => [row, i])),
      before: new Map(rows.map((row, i) => [row, rows[Math.max(0, i - 1)] as number]))
    }]
  }))
  return (site) => made.get(site) as Chain
}

/** Dirichlet clients get at least this many rows, so that one can be held out and one trained on. */
const LEAST_ROWS = 2

function flags (n: number, taken: readonly number[]): boolean[] {
  const set = new Set(taken)
  return Array.from({ length: n }, (_, i) => set.has(i))
}

function unique (rows: readonly Row[]): Row[] { return [...new Map(rows.map((row) => [row.id, row])).values()] }

/** One value per site, made when its first row comes. */
function perSite<T> (make: (source: Source, site: string) => T): (row: Row) => T {
  const made = new Map<string, T>()
  return ({ source, site }) => {
    let value = made.get(site)
    if (value === undefined) made.set(site, value = make(source, site))
    return value
  }
}

/** The number at the end of a cell: 7 of 'p07'. */
function trailingNumber (source: Source, column: string, row: number): number {
  const text = columnOf(source, column)[row] as string
  const digits = /-?\d+$/.exec(text)?.[0]
  if (digits === undefined) throw new DataError(`${place(source, row)}: '${text.slice(0, 40)}' in column '${column}' does not end in a number, which modulo needs`, { next: 'correct the cell, or choose another column' })
  return Math.abs(Number(digits))
}

/** The client of each row of a shared file; undefined for rows of no client. */
function clientOfRow (manifest: Manifest, source: Source): (row: number) => string | undefined {
  const { column = '', values, modulo, offset = 0, names, prefix = '' } = manifest.clients
  const cells = columnOf(source, column)
  if (modulo !== undefined) {
    return (row) => {
      const k = (((trailingNumber(source, column, row) + offset) % modulo) + modulo) % modulo
      return names?.[k] ?? `${prefix}${k}`
    }
  }
  const allowed = values === undefined ? undefined : new Set(values.map(canonical))
  return (row) => {
    const value = canonical(cells[row] as string)
    return allowed === undefined || allowed.has(value) ? `${prefix}${value}` : undefined
  }
}

function ringValues (cells: readonly string[]): string[] { return [...new Set(cells)].sort((a, b) => a < b ? -1 : 1) }

/** What a client may be called: it becomes part of topics, file names and log lines. */
const CLIENT_ID = /^[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,63}$/u
const MAX_CLIENTS = 4096

/** The clients of a shared file; reads it. */
async function idsInFiles (manifest: Manifest, folder: string): Promise<readonly string[]> {
  const { single, column = '', values, modulo, names, prefix = '', ring } = manifest.clients
  if (single !== undefined) return [single]
  if (names !== undefined) return names
  if (modulo !== undefined) return Array.from({ length: modulo }, (_, k) => `${prefix}${k}`)
  if (values !== undefined) return values.map((value) => `${prefix}${canonical(value)}`)
  const source = await readSource(manifest, folder)
  if (ring !== undefined) return ringValues(columnOf(source, ring.column)).map((_, i) => `${prefix === '' ? 'client-' : prefix}${i}`)
  const found = [...new Set(columnOf(source, column).map(canonical))]
  if (found.length > MAX_CLIENTS) throw new DataError(`${source.table?.path}: column '${column}' has ${found.length} values, at most ${MAX_CLIENTS} clients are made`, { next: 'name a column of sites, or use modulo' })
  const ids = found.map((value) => `${prefix}${value}`)
  return ids.every((id) => Number.isFinite(Number(id.slice(prefix.length)))) ? ids.sort((a, b) => Number(a.slice(prefix.length)) - Number(b.slice(prefix.length))) : ids
}

/** Sizes of a role's file at the first client that has it: each peer holds only its own. */
async function firstShape (manifest: Manifest, folder: string, ids: readonly string[], role: string | undefined): Promise<readonly number[] | undefined> {
  if (role === undefined) return undefined
  let missing: unknown
  for (const id of ids) {
    try {
      return await readShape(filePath(manifest, folder, role, id))
    } catch (err) {
      if ((err as { cause?: NodeJS.ErrnoException }).cause?.code !== 'ENOENT') throw err
      missing ??= err
    }
  }
  throw missing
}
