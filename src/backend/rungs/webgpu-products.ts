/**
 * Which of tfjs's programs multiplies matrices on WebGPU. Two of the four it has are left out, on every adapter, so that
 * what tests run in software is what a GPU runs:
 *
 * - the one that splits a long inner axis (2 000 and more) over workgroups: it reads a transposed right side wrongly where
 *   sizes are multiples of four, and adds with atomics, so that the same product comes out differently each time;
 * - the one for up to 128 numbers of output: 256 threads meet at eight barriers for each of them, 50 times slower in
 *   SwiftShader than a tile, and too little work to matter on a GPU.
 */
import type { Rung } from './rung.ts'

/** tfjs's own numbers, `MatMulProgramType` in its webgpu_util.ts. */
const PROGRAMS = { smallTiles: 2, tiles: 3 }
/** Side of the larger tiles. */
const TILE = 32

interface Matrix { readonly shape: readonly number[] }
interface Product {
  readonly inputs: { readonly a: Matrix, readonly b: Matrix }
  readonly attrs: { readonly transposeA: boolean, readonly transposeB: boolean }
  /** Up to so many workgroups leave the device idle: smaller tiles then make more of them. */
  readonly backend: { readonly thresholdToIncreaseWorkgroups: number }
}

export function choosePrograms (tf: Rung['tf']): void {
  const kernel = tf.getKernel('BatchMatMul', 'webgpu')
  tf.unregisterKernel('BatchMatMul', 'webgpu')
  tf.registerKernel({
    ...kernel,
    kernelFunc: params => {
      tf.env().set('WEBGPU_MATMUL_PROGRAM_TYPE', programFor(params as unknown as Product))
      return kernel.kernelFunc(params)
    }
  })
}

function programFor ({ inputs: { a, b }, attrs: { transposeA, transposeB }, backend }: Product): number {
  const rows = a.shape.at(transposeA ? -1 : -2) as number
  const columns = b.shape.at(transposeB ? -2 : -1) as number
  const batch = a.shape.slice(0, -2).reduce((product, size) => product * size, 1)
  const tiles = batch * Math.ceil(rows / TILE) * Math.ceil(columns / TILE)
  const few = tiles <= backend.thresholdToIncreaseWorkgroups * (rows <= 8 ? 2 : 1)
  return few ? PROGRAMS.smallTiles : PROGRAMS.tiles
}
