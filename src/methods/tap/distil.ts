/**
 * What a model loses on another one's outputs, and how to come nearer to them. For class scores, with rows B and sums over all
 * positions of a row:
 *
 *     KD(t, s) = T^2 sum softmax(t / T) (log softmax(t / T) - log softmax(s / T)) / B
 *     dKD/ds   = T (softmax(s / T) - softmax(t / T)) / B
 *
 * The pixels of a picture are averaged instead, as their loss is; for numbers it is the mean square.
 */
import type { TaskSpec } from '../../tasks/task.ts'
import type { TensorData } from '../../tensor/tensor.ts'

export interface Distilled {
  readonly value: number
  /** By the student's outputs. */
  readonly grad: Float64Array
}

type Numbers = ArrayLike<number>

/** @param rows - what the sum is divided by */
export function divergence (teacher: Numbers, student: Numbers, { rows, channels, temperature }: { readonly rows: number, readonly channels: number, readonly temperature: number }): Distilled {
  const grad = new Float64Array(student.length)
  let value = 0
  for (let start = 0; start < student.length; start += channels) {
    const [wanted, given] = [logSoftmax(teacher, start, channels, temperature), logSoftmax(student, start, channels, temperature)]
    for (let c = 0; c < channels; c++) {
      const [t, s] = [wanted[c] as number, given[c] as number]
      value += Math.exp(t) * (t - s)
      grad[start + c] = temperature * (Math.exp(s) - Math.exp(t)) / rows
    }
  }
  return { value: temperature ** 2 * value / rows, grad }
}

/** The way of the task's kind. */
export function distil ({ kind, channels }: TaskSpec, teacher: TensorData, student: TensorData, temperature: number): Distilled {
  if (!kind.endsWith('classes')) return meanSquare(teacher.data, student.data)
  const rows = student.shape[0] as number
  return divergence(teacher.data, student.data, { rows: kind === 'dense-classes' ? student.data.length / channels : rows, channels, temperature })
}

function meanSquare (teacher: Numbers, student: Numbers): Distilled {
  const grad = new Float64Array(student.length)
  let value = 0
  for (let i = 0; i < student.length; i++) {
    const error = (student[i] as number) - (teacher[i] as number)
    value += error * error / student.length
    grad[i] = 2 * error / student.length
  }
  return { value, grad }
}

function logSoftmax (values: Numbers, start: number, channels: number, temperature: number): Float64Array {
  const scaled = Float64Array.from({ length: channels }, (_, c) => (values[start + c] as number) / temperature)
  const top = Math.max(...scaled)
  const logSum = top + Math.log(scaled.reduce((sum, value) => sum + Math.exp(value - top), 0))
  return scaled.map(value => value - logSum)
}
