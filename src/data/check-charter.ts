/** Whether a site's data are what its consortium trains: what differs keeps it out, what is merely absent is said. */
import { DataError } from '../errors.ts'
import { canonicalJson } from '../models/spec.ts'
import { inputOf, inputsOf } from '../models/inputs.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, Dataset, InputSpec } from './dataset.ts'
import type { TaskSpec } from '../tasks/task.ts'

const NEXT = 'take the consortium\'s manifest, or another consortium'

/** Only the charter's tasks are trained; a site need not have all of them. */
export function compare (charter: Pick<Charter, 'input' | 'inputs' | 'tasks'>, data: Dataset, problems: Set<string>, warnings: Set<string>): void {
  const differ = (what: string, theirs: unknown, ours: unknown): void => {
    if (JSON.stringify(theirs) !== JSON.stringify(ours)) problems.add(`${what}: the charter says ${shown(theirs)}, the data ${shown(ours)}: ${NEXT}`)
  }
  const input = matching(charter, data.input) ?? inputsOf(charter).find(({ modality }) => modality === data.input.modality) ?? charter.input
  differ('kind of input', input.modality, data.input.modality)
  differ('shape of input', input.shape, data.input.shape)
  differ('buckets of input', input.buckets, data.input.buckets)
  differ('tokenizer of input', input.tokenizer, data.input.tokenizer)
  const [theirs, ours] = [input.columns ?? [], data.input.columns ?? []]
  const at = theirs.findIndex((name, i) => name !== ours[i])
  if (at >= 0 || ours.length > theirs.length) {
    const i = at >= 0 ? at : theirs.length
    problems.add(`columns of input: ${i === 0 ? 'the first' : `number ${i + 1}`} is ${shown(theirs[i])} in the charter and ${shown(ours[i])} in the data: ${NEXT}`)
  }
  const own = new Map(data.tasks.map((task) => [task.id, task]))
  for (const task of charter.tasks) {
    if (charter.inputs !== undefined && inputOf(charter, task) !== input) continue // another kind of site has it
    const mine = own.get(task.id)
    if (mine === undefined) warnings.add(`task '${task.id}' of the charter is not in the data: this site trains without it`)
    else for (const key of KEYS) differ(`${WORDS[key]} of task '${task.id}'`, task[key], mine[key])
  }
  if (!charter.tasks.some(({ id }) => own.has(id))) {
    problems.add(`no task of the charter (${charter.tasks.map(({ id }) => id).join(', ')}) is in the data (${[...own.keys()].join(', ')}): ${NEXT}`)
  }
}

/** The charter's input of this format, whatever the site calls it. */
export function matching (charter: Pick<Charter, 'input' | 'inputs'>, input: InputSpec): InputSpec | undefined {
  const format = ({ name, ...rest }: InputSpec): string => canonicalJson(rest)
  return inputsOf(charter).find(theirs => format(theirs) === format(input))
}

/**
 * A site's rows under the name that its consortium has for their kind, where it trains several.
 * @throws {DataError} the consortium has none of this kind
 */
export function asMember (charter: Pick<Charter, 'input' | 'inputs'>, data: ClientData): ClientData {
  if (charter.inputs === undefined) return data
  const input = matching(charter, data.input)
  if (input === undefined) throw new DataError(`client ${data.id} has rows of ${formatOf(data.input)}, the charter takes ${charter.inputs.map(formatOf).join(', ')}`, { next: NEXT })
  return { ...data, input }
}

function formatOf ({ modality, shape }: InputSpec): string { return `${modality} [${shape.join(', ')}]` }

const WORDS = { kind: 'kind', channels: 'outputs', targets: 'targets', positions: 'positions', classNames: 'class names', scale: 'scale' } as const satisfies Partial<Record<keyof TaskSpec, string>>
const KEYS = Object.keys(WORDS) as Array<keyof typeof WORDS>

function shown (value: unknown): string {
  if (value === undefined) return 'none'
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value.slice(0, 12).join(', ') + (value.length > 12 ? ', ...' : '')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
