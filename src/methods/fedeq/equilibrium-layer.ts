/**
 * An equilibrium layer at work: forward the fixed point of its cell by Anderson acceleration, backward the implicit gradient
 *
 *     u = (I - J^T)^-1 dL/dz*        dL/dtheta = u^T df/dtheta        dL/dx = u^T df/dx        J = df/dz at z*
 *
 * which needs no step of the way to z*, only z*. J^T v comes from the cell's backward pass, J v from its tangent program; u
 * from conjugate gradients on the normal equations, which do not ask J to contract.
 */
import { anderson } from '../../numerics/anderson.ts'
import { conjugateGradients } from '../../numerics/conjugate-gradients.ts'
import { tangentProgram } from '../../graph/tangents.ts'
import { Unit } from '../../training/unit.ts'
import type { AndersonOptions } from '../../numerics/anderson.ts'
import type { Backend, Gradients, Model } from '../../backend/backend.ts'
import type { ConjugateGradientsOptions } from '../../numerics/conjugate-gradients.ts'
import type { Graph } from '../../graph/graph.ts'
import type { TensorData } from '../../tensor/tensor.ts'
import type { WeightsInit } from '../../training/unit.ts'

/** FeDEQ's code: history 5, ridge 1e-4, no damping, |f(z) - z| below 1e-3 or 20 steps; 50 steps back. */
export const FORWARD: AndersonOptions = { history: 5, ridge: 1e-4, beta: 1, tolerance: 1e-3, maxSteps: 20 }
export const BACKWARD: ConjugateGradientsOptions = { tolerance: 1e-3, maxSteps: 50 }

export class EquilibriumLayer {
  readonly unit: Unit
  readonly #tangents: Model
  readonly #forward: AndersonOptions
  readonly #backward: ConjugateGradientsOptions

  constructor (backend: Backend, name: string, cell: Graph, init: Omit<WeightsInit, 'storage'> & { readonly forward: AndersonOptions, readonly backward: ConjugateGradientsOptions }) {
    this.unit = new Unit(backend, name, cell, { ...init, wanted: ['state', 'injection'] })
    this.#tangents = backend.load(tangentProgram(cell, 'state', 'next'))
    this.#forward = init.forward
    this.#backward = init.backward
  }

  /** z* of every row, [B, N, D], from a state of zeros. */
  async solve (injection: TensorData): Promise<TensorData> {
    const { shape } = injection
    const { z } = await anderson(async state => (await this.unit.model.infer({ state: narrow(shape, state), injection })).next?.data as Float32Array,
      new Float64Array(injection.data.length), shape[0] as number, this.#forward)
    return narrow(shape, z)
  }

  /** The implicit gradient: of the injection as `injection`, and of the cell's weights. */
  async pullBack (injection: TensorData, state: TensorData, stateGrad: TensorData): Promise<{ injection: TensorData, parameters: Float32Array }> {
    const { shape } = state
    const { model } = this.unit
    this.#tangents.setParameters(this.unit.parameters)
    const { kept } = await model.forward({ state, injection })
    try {
      const along = async (u: Float64Array): Promise<Gradients> => await model.backwardKeep(kept, { next: narrow(shape, u) })
      const { u } = await conjugateGradients(
        async v => minus(v, (await along(v)).inputs.state?.data as Float32Array),
        async v => minus(v, (await this.#tangents.infer({ state, injection, tangent: narrow(shape, v) })).tangent?.data as Float32Array),
        Float64Array.from(stateGrad.data), shape[0] as number, this.#backward)
      const { inputs, parameters } = await along(u)
      return { injection: inputs.injection as TensorData, parameters }
    } finally {
      kept.release()
    }
  }

  dispose (): void {
    this.#tangents.dispose()
    this.unit.dispose()
  }
}

function narrow (shape: readonly number[], data: Float64Array): TensorData { return { shape, data: Float32Array.from(data) } }

function minus (v: Float64Array, other: Float32Array): Float64Array { return v.map((value, i) => value - (other[i] as number)) }
