/** On a real graphics device where there is one, else in software; scripts/setup/software-gpu.mjs installs that for `npm test`. */
import { backendCompliance } from '../../compliance/backend.ts'
import { useSoftwareGpu } from '../../helpers/software-gpu.ts'

useSoftwareGpu()
await backendCompliance('webgpu', 'eager')
