/** Lets this process find a software graphics device where it has no real one. */
// Plain JavaScript: it runs before anything is installed.
// @ts-expect-error no declarations
import { hasGraphicsDevice as hasDevice, softwareDriver as driver } from '../../scripts/setup/software-gpu.mjs'

const hasGraphicsDevice = hasDevice as () => boolean
const softwareDriver = driver as () => string | undefined

/** Call before a rung is loaded. Where neither device is there, the rung itself says why it does not load. */
export function useSoftwareGpu (): void {
  const driver = softwareDriver()
  if (driver !== undefined && !hasGraphicsDevice()) process.env.VK_DRIVER_FILES ??= driver
}
