/** On a real graphics device where there is one, else in software; scripts/setup/software-gpu.mjs installs that for `npm test`. */
import { foundationCompliance } from '../compliance/foundation.ts'
import { useSoftwareGpu } from '../helpers/software-gpu.ts'

useSoftwareGpu()
await foundationCompliance('webgpu', 'eager')
