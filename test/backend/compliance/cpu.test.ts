import { backendCompliance } from '../../compliance/backend.ts'

await backendCompliance('cpu', 'eager')
