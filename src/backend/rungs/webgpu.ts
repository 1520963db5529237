/**
 * Any GPU with Vulkan, Metal or D3D12, through Dawn (npm package `webgpu`, optional): no CUDA toolkit needed. Dawn also
 * finds software adapters such as SwiftShader, which compute right but slowly; `software` says so.
 */
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { choosePrograms } from './webgpu-products.ts'
import { fusePrograms } from './webgpu-programs.ts'
import { usableMemoryBytes } from '../compat.ts'
import { watchDevice } from '../device.ts'
import type { GpuDevice } from '../device.ts'
import type { Rung } from './rung.ts'

const require = createRequire(import.meta.url)

interface Adapter {
  readonly info: { readonly vendor: string, readonly architecture: string, readonly description: string, readonly isFallbackAdapter?: boolean }
  readonly limits: { readonly maxBufferSize: number }
}
interface Gpu { requestAdapter (options: { powerPreference: 'high-performance' }): Promise<Adapter | null> }
interface Dawn { readonly create: (flags: readonly string[]) => Gpu, readonly globals: Record<string, unknown> }

export async function loadWebgpu (): Promise<Rung> {
  if (!mayHaveAdapter()) throw new Error('no graphics device on this machine')
  const dawn = await import('webgpu') as unknown as Dawn
  const gpu = dawn.create([])
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter == null) throw new Error('no adapter: the graphics driver offers neither Vulkan, Metal nor D3D12')
  Object.assign(globalThis, dawn.globals)
  // tfjs looks for the browser's entry point. Node's own `navigator` has no `gpu`.
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true })
  const tf = require('@tensorflow/tfjs-core') as Rung['tf']
  require('@tensorflow/tfjs-backend-webgpu')
  choosePrograms(tf)
  // Or operations on small tensors run in JavaScript, and what one step computes where depends on its sizes.
  tf.env().set('WEBGPU_CPU_FORWARD', false)
  const name = nameOf(adapter.info)
  if (!await tf.setBackend('webgpu')) throw new Error(`${name} gave no device`)
  const { device } = tf.backend() as unknown as { readonly device: GpuDevice }
  // WebGPU does not tell how much memory there is, and the largest buffer that a driver grants may be more than it has (1 TiB
  // on an H100): no more than this machine's own is counted on.
  return {
    name: 'webgpu',
    tf,
    memoryBytes: Math.min(adapter.limits.maxBufferSize, usableMemoryBytes()),
    software: isSoftware(adapter.info),
    device: watchDevice(name, device),
    fused: fusePrograms(tf)
  }
}

/** Drivers fill in different fields, and some describe no more than themselves ('NVIDIA: 580.159.04'). */
function nameOf ({ description, vendor, architecture }: Adapter['info']): string {
  const parts = description.toLowerCase().startsWith(vendor.toLowerCase()) ? [architecture] : [vendor, architecture]
  return [...parts, description].filter(part => part !== '').join(' ') || 'unnamed adapter'
}

/** Asking Dawn without a driver prints a warning of its own, so Linux is asked first: device files, or a driver named by hand. */
function mayHaveAdapter (): boolean {
  if (process.platform !== 'linux') return true
  if (process.env.VK_DRIVER_FILES != null || process.env.VK_ICD_FILENAMES != null) return true
  if (existsSync('/dev/dxg')) return true // WSL
  const devices = readdirSync('/dev').some(name => /^nvidia\d/.test(name))
  return devices || (existsSync('/dev/dri') && readdirSync('/dev/dri').some(name => name.startsWith('renderD')))
}

function isSoftware (info: Adapter['info']): boolean {
  return info.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${info.architecture} ${info.description}`)
}
