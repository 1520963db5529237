/** From files to `Rows.y`: what a manifest's task means as a `TaskSpec`, and its numbers for one row. */
import { arrayOf, canonical, columnOf, missingTest, numberIn, place } from './source.ts'
import { tokenise } from './inputs.ts'
import { DataError } from '../errors.ts'
import { validateTaskSpec } from '../tasks/index.ts'
import { elements } from '../tensor/tensor.ts'
import type { InputSpec } from './dataset.ts'
import type { Manifest, TaskRule } from './manifest.ts'
import type { Source } from './source.ts'
import type { TaskSpec } from '../tasks/task.ts'

export interface TargetReader {
  readonly spec: TaskSpec
  /** The clients that have the task; undefined = all. */
  readonly clients: readonly string[] | undefined
  /** Whether it asks for later rows. */
  readonly looksAhead: boolean
  /** `later(row, k)`: the same client's row k rows later, undefined past its end. */
  writer (source: Source, later: (row: number, k: number) => number | undefined): (row: number, y: Float32Array, offset: number) => void
}

const METRIC = {
  classes: 'accuracy',
  regression: 'mae',
  direction: 'angle',
  'token-classes': 'accuracy',
  'dense-classes': 'meanIoU',
  'dense-regression': 'mae',
  'dense-direction': 'angle',
  'dense-binary': 'f1'
} as const

/**
 * @param pixels - [height, width] of a role's file, for dense tasks
 * @throws {DataError | InvalidParametersError}
 */
export function targetReader (manifest: Manifest, rule: TaskRule, input: InputSpec, pixels: readonly number[] | undefined): TargetReader {
  const names = classNames(rule)
  const outputs = rule.columns?.length ?? 1
  const dense = rule.kind.startsWith('dense-')
  if (dense && (pixels?.length !== 2 || input.modality !== 'image' || pixels.join() !== input.shape.slice(0, 2).join())) {
    throw new DataError(`task '${rule.id}': labels of [${pixels?.join(', ') ?? ''}] for an input of [${input.shape.join(', ')}]`, { next: 'a label per pixel needs pictures of the labels\' size: take average and pad out of prepare' })
  }
  const smoothing = rule.smoothing ?? (names === undefined ? undefined : manifest.recipe?.training?.smoothing as number | undefined)
  const scaled = rule.mean !== undefined || rule.deviation !== undefined
  const spec: TaskSpec = {
    id: rule.id,
    kind: rule.kind,
    channels: names?.length ?? outputs,
    targets: outputs,
    positions: dense ? pixels as readonly number[] : rule.kind === 'token-classes' ? [input.shape[0] as number] : [1],
    metric: rule.metric ?? METRIC[rule.kind],
    ...(names === undefined ? {} : { classNames: names }),
    ...(scaled ? { scale: { mean: perOutput(rule.mean ?? 0, outputs), deviation: perOutput(rule.deviation ?? 1, outputs) } } : {}),
    ...(rule.weight === undefined ? {} : { weight: rule.weight }),
    ...(smoothing === undefined ? {} : { smoothing }),
    ...(rule.positiveWeight === undefined ? {} : { positiveWeight: rule.positiveWeight })
  }
  validateTaskSpec(spec)
  return { spec, clients: rule.clients, looksAhead: rule.ahead !== undefined, writer: (source, later) => writer(manifest, rule, spec, source, later) }
}

function classNames (rule: TaskRule): readonly string[] | undefined {
  const { classes } = rule
  if (Array.isArray(classes)) return classes as readonly string[]
  const numbered = (n: number): string[] => Array.from({ length: n }, (_, i) => String(i))
  if (typeof classes === 'number') return numbered(classes)
  if (rule.kind !== 'classes') return undefined
  return rule.modulo === undefined ? ['no', 'yes'] : numbered(rule.modulo)
}

function perOutput (value: number | readonly number[], outputs: number): readonly number[] {
  return typeof value === 'number' ? Array.from({ length: outputs }, () => value) : value
}

type Writer = (row: number, y: Float32Array, offset: number) => void

function writer (manifest: Manifest, rule: TaskRule, spec: TaskSpec, source: Source, later: (row: number, k: number) => number | undefined): Writer {
  if (rule.file !== undefined) return arrayWriter(rule, spec, source)
  const isMissing = missingTest(manifest, rule.missing)
  if (spec.kind === 'token-classes') return tokenWriter(rule, spec, source)
  const columns = (rule.columns ?? [rule.column as string]).map((name) => ({ name, cells: columnOf(source, name) }))
  const read = spec.kind === 'classes'
    ? classReader(rule, spec, source)
    : (row: number, name: string, text: string) => numberIn(source, row, name, text)
  return (row, y, offset) => {
    const from = rule.ahead === undefined ? row : later(row, rule.ahead)
    for (const [i, { name, cells }] of columns.entries()) {
      const text = from === undefined ? '' : cells[from] as string
      y[offset + i] = isMissing(text) ? (spec.kind === 'classes' ? -1 : NaN) : read(from as number, name, text)
    }
  }
}

/** Class 1 or 0 by a threshold or an equality, or a remainder; undefined when the label is the class itself. */
function derivation (rule: TaskRule): ((value: number) => number) | undefined {
  const { above, atLeast, below, modulo } = rule
  if (above !== undefined) return (v) => v > above ? 1 : 0
  if (atLeast !== undefined) return (v) => v >= atLeast ? 1 : 0
  if (below !== undefined) return (v) => v < below ? 1 : 0
  if (modulo !== undefined) return (v) => ((v % modulo) + modulo) % modulo
  return undefined
}

function classReader (rule: TaskRule, spec: TaskSpec, source: Source): (row: number, name: string, text: string) => number {
  const derive = derivation(rule)
  if (derive !== undefined) return (row, name, text) => derive(numberIn(source, row, name, text))
  if (rule.equals !== undefined) {
    const wanted = canonical(rule.equals)
    return (_, __, text) => canonical(text) === wanted ? 1 : 0
  }
  const classes = lookup(rule, spec)
  return (row, name, text) => {
    const label = classes.get(canonical(text))
    if (label === undefined) throw outside(place(source, row), `'${text.slice(0, 40)}' in column '${name}'`, spec, classes)
    return label
  }
}

function lookup (rule: TaskRule, spec: TaskSpec): Map<string, number> {
  return new Map((rule.values ?? spec.classNames ?? []).map((value, i) => [canonical(value), i]))
}

function outside (where: string, what: string, spec: TaskSpec, classes: ReadonlyMap<string, number>): DataError {
  const known = [...classes.keys()]
  return new DataError(`${where}: ${what} is no class of task '${spec.id}' (${known.slice(0, 12).join(', ')}${known.length > 12 ? ', ...' : ''})`, {
    next: 'correct the label, add the class, or list the value under the task\'s missing in the manifest'
  })
}

function tokenWriter (rule: TaskRule, spec: TaskSpec, source: Source): Writer {
  const tags = columnOf(source, rule.column as string)
  const classes = lookup(rule, spec)
  const length = spec.positions[0] as number
  return (row, y, offset) => {
    y.fill(-1, offset, offset + length)
    for (const [i, tag] of tokenise(tags[row] as string, 'spaces').slice(0, length).entries()) {
      const label = classes.get(canonical(tag))
      if (label === undefined) throw outside(place(source, row), `'${tag.slice(0, 40)}' in column '${rule.column as string}'`, spec, classes)
      y[offset + i] = label
    }
  }
}

function arrayWriter (rule: TaskRule, spec: TaskSpec, source: Source): Writer {
  const { data, shape, path } = arrayOf(source, rule.file as string)
  const size = elements(shape.slice(1))
  const [height = 1, width = 1] = shape.slice(1)
  const at = (row: number): Uint8Array => data.subarray(source.arrayRow(row) * size, (source.arrayRow(row) + 1) * size)
  const dense = spec.positions.length === 2
  if (!dense && rule.share === undefined && size !== 1) throw new DataError(`${path}: task '${spec.id}' takes one label per row, it has [${shape.join(', ')}]`, { next: 'name the role of a label file, or use share' })
  if (dense && size !== elements(spec.positions)) throw new DataError(`${path}: labels of [${shape.slice(1).join(', ')}], other sites have [${spec.positions.join(', ')}]`, { next: 'bring all label pictures to one size' })
  if (rule.share !== undefined) {
    const wanted = rule.share
    return (row, y, offset) => { y[offset] = at(row).reduce((n, v) => n + (v === wanted ? 1 : 0), 0) / size }
  }
  if (rule.boundary === true) return (row, y, offset) => y.set(boundary(at(row), height, width), offset)
  if (rule.distance === true) return (row, y, offset) => y.set(signedDistance(at(row), height, width), offset)
  if (spec.kind !== 'classes' && spec.kind !== 'dense-classes') return (row, y, offset) => y.set(at(row), offset)
  const equal = rule.equals === undefined ? undefined : Number(rule.equals)
  const derive = equal === undefined ? derivation(rule) : (v: number) => v === equal ? 1 : 0
  const classes = derive === undefined ? lookup(rule, spec) : undefined
  const missing = new Set((rule.missing ?? []).map(Number))
  const table = Float32Array.from({ length: 256 }, (_, v) => missing.has(v) ? -1 : derive?.(v) ?? classes?.get(String(v)) ?? (rule.values === undefined && v < spec.channels ? v : NaN))
  return (row, y, offset) => {
    const labels = at(row)
    for (let i = 0; i < labels.length; i++) {
      const label = table[labels[i] as number] as number
      if (Number.isNaN(label)) throw outside(`${path} row ${source.arrayRow(row)}`, `label ${labels[i]}`, spec, rule.values === undefined ? new Map(spec.classNames?.map((_, c) => [String(c), c])) : classes as Map<string, number>)
      y[offset + i] = label
    }
  }
}

/** 1 where the right or the lower neighbour has another value. */
export function boundary (mask: Uint8Array, height: number, width: number): Float32Array {
  const out = new Float32Array(height * width)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x
      if ((x + 1 < width && mask[i] !== mask[i + 1]) || (y + 1 < height && mask[i] !== mask[i + width])) out[i] = 1
    }
  }
  return out
}

/**
 * Distance from each pixel's centre to the nearest pixel of the other side, positive where the mask is not 0. A mask
 * with one side only has the picture's diagonal everywhere. Exact, by the lower envelope of parabolas along each axis
 * (Felzenszwalb and Huttenlocher 2012).
 */
export function signedDistance (mask: Uint8Array, height: number, width: number): Float32Array {
  const limit = height * height + width * width
  const squared = (inside: boolean): Float64Array => {
    const d = Float64Array.from(mask.subarray(0, height * width), (v) => (v !== 0) === inside ? limit : 0)
    for (let x = 0; x < width; x++) envelope(d, x, width, height)
    for (let y = 0; y < height; y++) envelope(d, y * width, 1, width)
    return d
  }
  const [inner, outer] = [squared(true), squared(false)]
  return Float32Array.from(inner, (d, i) => Math.sqrt(Math.min(limit, d)) - Math.sqrt(Math.min(limit, outer[i] as number)))
}

function envelope (d: Float64Array, start: number, stride: number, n: number): void {
  const f = Float64Array.from({ length: n }, (_, i) => d[start + i * stride] as number)
  const apex = new Int32Array(n)
  const from = new Float64Array(n + 1)
  let k = 0
  from[0] = -Infinity
  from[1] = Infinity
  const meet = (q: number, p: number): number => ((f[q] as number) + q * q - (f[p] as number) - p * p) / (2 * (q - p))
  for (let q = 1; q < n; q++) {
    let s = meet(q, apex[k] as number)
    while (s <= (from[k] as number)) s = meet(q, apex[--k] as number)
    apex[++k] = q
    from[k] = s
    from[k + 1] = Infinity
  }
  k = 0
  for (let q = 0; q < n; q++) {
    while ((from[k + 1] as number) < q) k++
    const p = apex[k] as number
    d[start + q * stride] = (q - p) ** 2 + (f[p] as number)
  }
}
