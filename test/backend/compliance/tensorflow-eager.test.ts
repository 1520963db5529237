import { backendCompliance } from '../../compliance/backend.ts'

await backendCompliance('tensorflow', 'eager')
