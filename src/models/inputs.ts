/**
 * The inputs of one consortium. Mostly there is one; where members have different ones (pictures here, sentences there), each
 * has a name, an embedder of its own ('embed/<name>') and tasks that are read from it. Activations are [B, N, D] whatever the
 * input, so that one trunk serves all.
 */
import { InvalidParametersError } from '../errors.ts'
import { createEmbedder } from './embedder.ts'
import type { Embedder } from './embedder.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { ModelSpec } from './spec.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** Of a charter or a data set: the first input, and all of them where there are several. */
export interface Inputs {
  readonly input: InputSpec
  readonly inputs?: readonly InputSpec[]
}

export function inputName ({ name, modality }: InputSpec): string { return name ?? modality }

export function inputsOf ({ input, inputs = [input] }: Inputs): readonly InputSpec[] { return inputs }

/** What a task is read from. */
export function inputOf (of: Inputs, { input: name }: Pick<TaskSpec, 'input'>): InputSpec {
  return inputsOf(of).find(input => inputName(input) === name) ?? of.input
}

/** Unit of an input's embedder. */
export function embedUnit (input: InputSpec): string { return `embed/${inputName(input)}` }

export function embedderOf ({ embedder, embedders, backbone }: ModelSpec, input: InputSpec): Embedder {
  return createEmbedder(embedders?.[inputName(input)] ?? embedder, input, backbone.width)
}

/** Positions that one row has in the trunk, of the input that has the most. */
export function mostTokens (model: ModelSpec, of: Inputs): number {
  return Math.max(...inputsOf(of).map(input => embedderOf(model, input).tokens))
}

export function sharesEmbedder ({ sharedEmbedder }: Pick<ModelSpec, 'sharedEmbedder'>, input: InputSpec): boolean {
  return typeof sharedEmbedder === 'boolean' ? sharedEmbedder : sharedEmbedder.includes(inputName(input))
}

/** Embedders that a client with these tasks has, by unit. */
export function embedUnitsOf (of: Inputs & { readonly tasks: readonly TaskSpec[] }, tasks: readonly string[]): ReadonlySet<string> {
  return new Set(of.tasks.filter(({ id }) => tasks.includes(id)).map(task => embedUnit(inputOf(of, task))))
}

/**
 * @returns undefined where there is one input only
 * @throws {InvalidParametersError} two of one name, the first one is not `input`, or a task is read from none of them
 */
export function checkInputs ({ input, inputs, tasks }: Inputs & { readonly tasks: readonly TaskSpec[] }): readonly InputSpec[] | undefined {
  if (inputs === undefined || inputs.length < 2) return undefined
  const names = inputs.map(inputName)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new InvalidParametersError(`two inputs are called ${twice}`, { next: 'give one of them another name' })
  if (inputName(input) !== names[0]) throw new InvalidParametersError(`the first of several inputs is ${inputName(input)}, not ${names[0]}`, { next: 'list it first' })
  const astray = tasks.find(task => !names.includes(task.input ?? ''))
  if (astray !== undefined) throw new InvalidParametersError(`task ${astray.id} is read from ${astray.input ?? 'no input'}, there are ${names.join(', ')}`, { next: 'name one of these as its input' })
  return inputs
}

/** @throws {InvalidParametersError} a method for one kind of row, and members with several */
export function expectOneInput (of: Inputs, method: string): void {
  const names = inputsOf(of).map(inputName)
  if (names.length > 1) throw new InvalidParametersError(`method ${method} reads one kind of input, there are ${names.join(', ')}`, { next: 'choose another strategy, such as fedavg, or data of one kind' })
}
