/** One file per kind of task; `createTask` is the list of them, and the gate a spec from a peer or a file goes through. */
import { classes } from './classes.ts'
import { denseBinary } from './dense-binary.ts'
import { denseClasses } from './dense-classes.ts'
import { denseDirection } from './dense-direction.ts'
import { denseRegression } from './dense-regression.ts'
import { direction } from './direction.ts'
import { METRICS } from './metrics.ts'
import { regression } from './regression.ts'
import { tokenClasses } from './token-classes.ts'
import { InvalidParametersError } from '../errors.ts'
import { elements } from '../tensor/tensor.ts'
import type { Task, TaskKind, TaskSpec } from './task.ts'

export { METRICS } from './metrics.ts'
export type { Scores, Task, TaskKind, TaskSpec } from './task.ts'

interface Kind {
  readonly create: (spec: TaskSpec) => Task
  /** Axes of `positions`: 1 for a row or a line of tokens, 2 for a picture. */
  readonly axes: 1 | 2
  /** What is wrong with the head's width or the target's, in words; nothing when they fit. */
  readonly widths: (spec: TaskSpec) => string | undefined
}

const labels = ({ channels, targets }: TaskSpec): string | undefined =>
  channels < 2 || targets !== 1 ? 'needs 2 or more channels (the classes) and 1 target (the label)' : undefined
const numbers = ({ channels, targets }: TaskSpec): string | undefined =>
  channels !== targets ? 'needs as many targets as channels' : undefined
const single = ({ channels, targets }: TaskSpec): string | undefined =>
  channels !== 1 || targets !== 1 ? 'needs 1 channel and 1 target' : undefined

const KINDS: Readonly<Record<TaskKind, Kind>> = {
  classes: { create: classes, axes: 1, widths: labels },
  regression: { create: regression, axes: 1, widths: numbers },
  direction: {
    create: direction,
    axes: 1,
    widths: ({ channels, targets }) => channels !== 2 || (targets !== 2 && targets !== 3) ? 'needs 2 channels and the targets (cos, sin) or (cos, sin, valid)' : undefined
  },
  'token-classes': { create: tokenClasses, axes: 1, widths: labels },
  'dense-classes': { create: denseClasses, axes: 2, widths: labels },
  'dense-regression': { create: denseRegression, axes: 2, widths: single },
  'dense-direction': {
    create: denseDirection,
    axes: 2,
    widths: (spec) => spec.channels < 2 ? 'needs 2 or more channels' : numbers(spec)
  },
  'dense-binary': { create: denseBinary, axes: 2, widths: single }
}

/** A head's output per row, in numbers: 2^22 is 16 MiB of float32, 400 times the largest built-in one (64 x 64 x 3). */
const MAX_OUTPUTS = 2 ** 22

/** @throws {InvalidParametersError} the spec contradicts itself; the message names the task and the field */
export function createTask (spec: TaskSpec): Task {
  validateTaskSpec(spec)
  return KINDS[spec.kind].create(spec)
}

/** @throws {InvalidParametersError} */
export function validateTaskSpec (spec: TaskSpec): void {
  const fail = (what: string): never => { throw new InvalidParametersError(`task '${spec.id}': ${what}`) }
  if (typeof spec.id !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(spec.id)) {
    fail('an id is 1 to 64 letters, digits, - or _, and starts with a letter or digit')
  }
  if (!Object.hasOwn(KINDS, spec.kind)) fail(`no kind '${spec.kind}', there are ${Object.keys(KINDS).join(', ')}`)
  const kind = KINDS[spec.kind]
  if (!isCount(spec.channels) || !isCount(spec.targets)) fail('channels and targets are positive integers')
  if (!Array.isArray(spec.positions) || !spec.positions.every(isCount)) fail('positions are positive integers')
  if (spec.positions.length !== kind.axes) fail(`positions of ${spec.kind} are ${kind.axes === 1 ? '[1] or [tokens]' : '[height, width]'}`)
  if ((spec.kind === 'classes' || spec.kind === 'regression' || spec.kind === 'direction') && spec.positions[0] !== 1) fail('a row-level task has positions [1]')
  const widths = kind.widths(spec)
  if (widths !== undefined) fail(`${spec.kind} ${widths}, not ${spec.channels} and ${spec.targets}`)
  if (elements(spec.positions) * spec.channels > MAX_OUTPUTS) fail(`more than ${MAX_OUTPUTS} outputs per row`)
  if (spec.classNames !== undefined && spec.classNames.length !== spec.channels) fail(`${spec.classNames.length} class names for ${spec.channels} channels`)
  if (spec.scale !== undefined) {
    const { mean, deviation } = spec.scale
    if (spec.kind !== 'regression' && spec.kind !== 'dense-regression') fail('only regressions have a scale')
    if (mean.length !== spec.targets || deviation.length !== spec.targets) fail('scale needs one mean and one deviation per target')
    if (!mean.every(Number.isFinite) || !deviation.every((d) => Number.isFinite(d) && d > 0)) fail('means are finite and deviations above 0')
  }
  if (spec.weight !== undefined && !(Number.isFinite(spec.weight) && spec.weight >= 0)) fail('weight is 0 or more')
  if (spec.smoothing !== undefined && !(spec.smoothing >= 0 && spec.smoothing < 1)) fail('smoothing is at least 0 and below 1')
  if (spec.positiveWeight !== undefined) {
    if (spec.kind !== 'dense-binary') fail('only dense-binary has a positiveWeight')
    if (!(Number.isFinite(spec.positiveWeight) && spec.positiveWeight > 0)) fail('positiveWeight is above 0')
  }
  const metrics = Object.keys(METRICS[spec.kind])
  if (!metrics.includes(spec.metric)) fail(`no metric '${spec.metric}' for ${spec.kind}, there are ${metrics.join(', ')}`)
}

function isCount (value: unknown): value is number { return Number.isSafeInteger(value) && (value as number) > 0 }
