import { backendCompliance } from '../../compliance/backend.ts'

await backendCompliance('wasm', 'eager')
