/**
 * Operations that tfjs's kernels compute in up to seven steps, each as one WGSL program: a kernel takes some 55 us of this
 * process on an H100 whatever it computes, and small passes wait for nothing else.
 *
 * All tensors are flat to a program and sizes are uniforms, so that one pipeline serves every shape. What a row comes out as
 * depends on its own numbers alone, not on how many rows there are.
 */
import { GELU_DENSITY, GELU_SLOPE, GELU_TANH } from '../../graph/graph.ts'
import { elements } from '../../tensor/tensor.ts'
import type { Op } from '../../graph/graph.ts'
import type { Fused, Rung } from './rung.ts'
import type { NamedAttrMap, NamedTensorInfoMap, Tensor, TensorInfo } from '@tensorflow/tfjs-core'

/** Of a workgroup: two warps of NVIDIA's, one wavefront of AMD's, and the longest run of lanes that share a row. */
const THREADS = 64

interface Source {
  /** The inputs, in the operation's order, by their names in the code. */
  readonly reads: readonly string[]
  readonly code: string
  /** What a thread has to itself: a number, or its lane of a row. */
  readonly thread: 'number' | 'lane'
  /** The result has one number for each row. */
  readonly reduces?: true
}

/** What tfjs's WebGPU backend runs. It writes into it, so each run takes a new one. */
class Program {
  readonly variableNames: readonly string[]
  readonly outputShape: readonly number[]
  readonly dispatch: readonly [number, number, number]
  readonly getUserCode: () => string
  /** tfjs adds the ranks of the tensors. */
  shaderKey: string
  readonly dispatchLayout = { x: [0] }
  readonly workgroupSize = [THREADS, 1, 1] as const
  readonly size = true
  readonly uniforms = 'rows : i32, columns : i32, lanes : i32, epsilon : f32,'

  /** @param workgroups - above 65 535, a device's limit along one axis, tfjs spreads them over two and has some to spare */
  constructor (name: string, { reads, code }: Source, size: number, workgroups: number) {
    this.shaderKey = name
    this.variableNames = reads
    this.outputShape = [size]
    this.dispatch = [workgroups, 1, 1]
    this.getUserCode = () => code
  }
}

interface Gpu {
  runWebGPUProgram (program: Program, inputs: readonly TensorInfo[], dtype: 'float32', uniforms: ReadonlyArray<{ type: 'int32' | 'float32', data: number[] }>): TensorInfo
}

/** One thread for each number. @param value - of the numbers at place `i` */
function perNumber (reads: readonly string[], value: string): Source {
  // erf: Abramowitz and Stegun 7.1.26, right to 1.5e-7, as in the program of tfjs.
  const code = `
    fn sigmoid(x : f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }
    fn erf(x : f32) -> f32 {
      let t = 1.0 / (1.0 + 0.3275911 * abs(x));
      let series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
      return sign(x) * (1.0 - series * exp(-x * x));
    }
    fn main(i : i32) {
      if (i < uniforms.size) { result[i] = ${value}; }
    }`
  return { reads, code, thread: 'number' }
}

/**
 * As many lanes for each row as it has numbers, down to a power of two and at most a workgroup; the lanes of a row take turns
 * at its numbers. Every thread takes part to the end, with a row or without: they meet at barriers.
 *
 * @param steps - WGSL, by way of `sum`, `mean` and `each`
 */
function perRow (reads: readonly string[], steps: readonly string[]): Source {
  const code = `
    var<workgroup> partial : array<f32, ${THREADS}>;
    fn total(value : f32) -> f32 {
      let thread = i32(localIndex);
      let lane = thread % uniforms.lanes;
      workgroupBarrier(); // the last total has been read
      partial[thread] = value;
      for (var apart = uniforms.lanes / 2; apart > 0; apart /= 2) {
        workgroupBarrier();
        if (lane < apart) { partial[thread] += partial[thread + apart]; }
      }
      workgroupBarrier();
      return partial[thread - lane];
    }
    fn main(index : i32) {
      let row = index / uniforms.lanes;
      let lane = index % uniforms.lanes;
      let first = row * uniforms.columns + lane;
      let end = select(0, (row + 1) * uniforms.columns, row < uniforms.rows);
      ${steps.join('\n')}
    }`
  return { reads, code, thread: 'lane' }
}

/** Names the sum of `term` over the row's places `i`. */
function sum (name: string, term: string): string {
  return `
      var ${name} = 0.0;
      for (var i = first; i < end; i += uniforms.lanes) { ${name} += ${term}; }
      ${name} = total(${name});`
}

function mean (name: string, term: string): string { return `${sum(name, term)} ${name} /= f32(uniforms.columns);` }

function each (value: string): string { return `for (var i = first; i < end; i += uniforms.lanes) { result[i] = ${value}; }` }

/** @param lean - the input times the gate's derivative */
function geluGrad (lean: string): Source { return perNumber(['x', 'gate', 'gradient'], `gradient[i] * (gate[i] + ${lean})`) }

/** By kind of operation, and form where it has several. Formulas: those of `apply` in ../eager.ts. */
const SOURCES: Readonly<Record<string, Source>> = {
  tanhGrad: perNumber(['y', 'gradient'], 'gradient[i] * (1.0 - y[i] * y[i])'),
  'geluGate sigmoid': perNumber(['x'], `sigmoid(${GELU_SLOPE} * x[i])`),
  'geluGate erf': perNumber(['x'], `0.5 * (1.0 + erf(${Math.SQRT1_2} * x[i]))`),
  'geluGate tanh': perNumber(['x'], `sigmoid(${2 * GELU_TANH.slope} * x[i] * (1.0 + ${GELU_TANH.cube} * x[i] * x[i]))`),
  'geluGrad sigmoid': geluGrad(`${GELU_SLOPE} * x[i] * gate[i] * (1.0 - gate[i])`),
  'geluGrad erf': geluGrad(`${GELU_DENSITY} * x[i] * exp(-0.5 * x[i] * x[i])`),
  'geluGrad tanh': geluGrad(`${2 * GELU_TANH.slope} * x[i] * (1.0 + ${3 * GELU_TANH.cube} * x[i] * x[i]) * gate[i] * (1.0 - gate[i])`),
  softmaxGrad: perRow(['y', 'gradient'], [
    sum('along', 'y[i] * gradient[i]'),
    each('y[i] * (gradient[i] - along)')
  ]),
  inverseDeviation: {
    ...perRow(['x'], [
      mean('level', 'x[i]'),
      mean('variance', '(x[i] - level) * (x[i] - level)'),
      'if (lane == 0 && row < uniforms.rows) { result[row] = inverseSqrt(variance + uniforms.epsilon); }'
    ]),
    reduces: true
  },
  standardise: perRow(['x', 'deviation'], [
    mean('level', 'x[i]'),
    each('(x[i] - level) * deviation[row]')
  ]),
  standardiseGrad: perRow(['y', 'deviation', 'gradient'], [
    mean('level', 'gradient[i]'),
    mean('along', 'y[i] * gradient[i]'),
    each('(gradient[i] - level - y[i] * along) * deviation[row]')
  ])
}

/** Registers the programs as kernels of tfjs, which then keeps its books over their results. */
export function fusePrograms (tf: Rung['tf']): Fused {
  for (const [name, source] of Object.entries(SOURCES)) {
    if (tf.getKernel(kernelOf(name), 'webgpu') != null) continue // a rung that was loaded before
    tf.registerKernel({
      kernelName: kernelOf(name),
      backendName: 'webgpu',
      kernelFunc: ({ inputs, attrs, backend }) => run(name, source, inputs, attrs, backend as Gpu)
    })
  }
  return (op, inputs) => {
    const name = nameOf(op)
    const source = SOURCES[name]
    if (source === undefined) return undefined
    const named = Object.fromEntries(source.reads.map((read, i) => [read, inputs[i] as Tensor]))
    return tf.engine().runKernel<Tensor>(kernelOf(name), named, { epsilon: 'epsilon' in op ? op.epsilon : 0 })
  }
}

function nameOf (op: Op): string { return 'form' in op ? `${op.kind} ${op.form}` : op.kind }

function kernelOf (name: string): string { return `fmtl ${name}` }

function run (name: string, source: Source, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined, gpu: Gpu): TensorInfo {
  const tensors = source.reads.map(read => inputs[read] as TensorInfo)
  const [{ shape: whole }] = tensors as [TensorInfo]
  const columns = whole.at(-1) ?? 1
  const rows = elements(whole) / columns
  const lanes = Math.min(THREADS, 2 ** (31 - Math.clz32(columns)))
  const threads = rows * (source.thread === 'lane' ? lanes : columns)
  const shape = source.reduces === true ? [...whole.slice(0, -1), 1] : whole
  const program = new Program(name, source, elements(shape), Math.ceil(threads / THREADS))
  const flat = tensors.map(({ dataId, dtype, shape }) => ({ dataId, dtype, shape: [elements(shape)] }))
  const result = gpu.runWebGPUProgram(program, flat, 'float32', [
    { type: 'int32', data: [rows] },
    { type: 'int32', data: [columns] },
    { type: 'int32', data: [lanes] },
    { type: 'float32', data: [attrs?.epsilon as number] }
  ])
  return { ...result, shape }
}
